//! The published copy as JSON, for programs and for people in a hurry.

use datagram::PoolFigures;
use datagram::network::Class;
use mixing::time::Date;
use serde_json::{Map, Value, json};

use super::exposition::DIRECTIONS;
use crate::figures::{Published, Snapshot};

/// Everything that `/status` says.
pub(super) fn json(published: &Published) -> Value {
    let about = published.about();
    let mut status = json!({
        "ready": published.ready(),
        "complete": published.complete(),
        "name": about.name,
        "role": about.role,
        "network": about.network,
        "started_ms": published.started().map(Date::as_millis),
        "nodes": { "listed": published.listed() },
    });
    if let Some(snapshot) = published.snapshot() {
        figures(&mut status, &about.strategies, &snapshot);
    }
    status
}

fn figures(status: &mut Value, strategies: &[String; 2], snapshot: &Snapshot) {
    let figures = &snapshot.figures;
    status["figures_date_ms"] = json!(snapshot.date.as_millis());
    status["nodes"]["known"] = json!(figures.nodes_known);
    status["nodes"]["linked"] = json!(figures.nodes_linked);
    status["links"] = json!(figures.links);
    status["channels"] = json!({
        "now": figures.channels,
        "opened": figures.channels_opened,
        "ended": figures.channels_ended,
    });
    status["datagrams"] = json!({ "out": figures.datagrams_out, "in": figures.datagrams_in });
    let sizes = snapshot.sizes;
    status["sockets"] = json!(sizes.sockets);
    status["sources"] = json!(sizes.sources);
    status["associations"] = json!(sizes.associations);
    status["dropped"] = dropped(snapshot);
    let classes = Class::ALL.into_iter().map(|class| {
        let pools = DIRECTIONS.into_iter().zip(&figures.pools[class.index()]);
        let pools: Map<_, _> = pools.map(|(name, figures)| (name.to_owned(), pool(figures))).collect();
        let class_status = json!({
            "strategy": strategies[class.index()],
            "cells": { "in": figures.cells_in[class.index()], "out": figures.cells_out[class.index()] },
            "pools": pools,
        });
        (class.name().to_owned(), class_status)
    });
    status["classes"] = Value::Object(classes.collect());
}

/// Only what happened at least once: the zeros are in `/metrics`.
fn dropped(snapshot: &Snapshot) -> Value {
    let core = snapshot.figures.all_dropped().map(|(reason, count)| (reason.label(), count));
    let own = snapshot.lost.all().map(|(reason, count)| (reason.label(), count));
    let some = core.chain(own).filter(|(_, count)| *count > 0);
    Value::Object(some.map(|(label, count)| (label.to_owned(), json!(count))).collect())
}

fn pool(pool: &PoolFigures) -> Value {
    let mean =
        |sum: f64| if pool.releases == 0 { Value::Null } else { json!(sum / pool.releases as f64) };
    json!({
        "waiting": pool.waiting,
        "batches": pool.releases,
        "cells": pool.items,
        "mean": {
            "cells": mean(pool.items as f64),
            "channels": mean(pool.channels as f64),
            "links": mean(pool.links as f64),
            "entropy_bits": mean(pool.entropy),
        },
        "last": pool.last.as_ref().map(|batch| json!({
            "cells": batch.items,
            "channels": batch.channels,
            "entropy_bits": batch.entropy,
        })),
    })
}
