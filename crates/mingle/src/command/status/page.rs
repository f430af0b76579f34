//! The page itself: the node's figures for people, and what to look at.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use mixing::time::Date;
use serde_json::Value;

use super::words;
use crate::table::Table;

/// What a node's `/status` says, readable.
pub(super) fn text(status: &Value, now: Date, figures_every: Duration) -> String {
    let page = Page { status, now };
    let mut text = page.head(figures_every);
    text += &page.sizes();
    if page.role() == "mix" {
        text += &page.mixed();
    }
    text += &page.dropped();
    text += &page.look();
    text
}

struct Page<'a> {
    status: &'a Value,
    now: Date,
}

impl Page<'_> {
    fn number(&self, pointer: &str) -> u64 {
        self.status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    fn word(&self, pointer: &str) -> &str {
        self.status.pointer(pointer).and_then(Value::as_str).unwrap_or("?")
    }

    fn role(&self) -> &str {
        self.word("/role")
    }

    fn ready(&self) -> bool {
        self.status["ready"] == true
    }

    fn head(&self, figures_every: Duration) -> String {
        let (name, role, network) = (self.word("/name"), self.role(), self.word("/network"));
        let article = if role == "mix" { "a" } else { "an" };
        let mut text = format!("{name}, {article} {role} of network {network:?}\n");
        let state = if self.ready() { "serves" } else { "does not serve" };
        let _ = write!(text, "{state}");
        if let Some(started) = self.status["started_ms"].as_u64() {
            let age = Duration::from_millis(self.now.as_millis().saturating_sub(started));
            let _ = write!(text, ", since {} ({})", date(started), coarse(age));
        }
        if let Some(taken) = self.status["figures_date_ms"].as_u64() {
            let every = humantime::format_duration(figures_every);
            let _ = write!(text, "; figures of {}, new every {every}", date(taken));
        }
        text + "\n\n"
    }

    fn sizes(&self) -> String {
        let mut text = String::new();
        let mut line = |title: &str, value: String| {
            let _ = writeln!(text, "{title:14}{value}");
        };
        let number = |pointer: &str| self.number(pointer);
        let [listed, known, linked] =
            ["listed", "known", "linked"].map(|part| number(&format!("/nodes/{part}")));
        line("nodes", format!("{listed} listed, {known} known, {linked} linked"));
        line("links", number("/links").to_string());
        let [now, opened, ended] =
            ["now", "opened", "ended"].map(|part| number(&format!("/channels/{part}")));
        line("channels", format!("{now} now, {opened} opened, {ended} ended"));
        let (out, came) = (number("/datagrams/out"), number("/datagrams/in"));
        match self.role() {
            "entry" => {
                line("datagrams", format!("{out} from applications, {came} to applications"));
                let (associations, sources) = (number("/associations"), number("/sources"));
                line("applications", format!("{associations} over SOCKS5, {sources} sources"));
            }
            "exit" => {
                line("datagrams", format!("{out} to destinations, {came} from destinations"));
                line("sockets", number("/sockets").to_string());
            }
            _ => {}
        }
        text + "\n"
    }

    /// What a mix is for: how many left together, and what that was worth.
    fn mixed(&self) -> String {
        let mut table = Table::new(&[
            "mixed",
            "strategy",
            "direction",
            "waiting",
            "batches",
            "cells",
            "channels together",
            "bits",
        ]);
        for (class, direction, pool) in self.pools() {
            let count = |part: &str| pool[part].as_u64().unwrap_or(0).to_string();
            let mean = |part: &str| {
                pool["mean"][part].as_f64().map_or("-".into(), |mean| format!("{mean:.1}"))
            };
            table.row([
                class.to_owned(),
                self.word(&format!("/classes/{class}/strategy")).to_owned(),
                direction.to_owned(),
                count("waiting"),
                count("batches"),
                count("cells"),
                mean("channels"),
                mean("entropy_bits"),
            ]);
        }
        table.text() + "\n"
    }

    fn pools(&self) -> impl Iterator<Item = (&'static str, &'static str, &Value)> {
        let both = ["small", "large"].into_iter();
        let both = both.flat_map(|class| ["forward", "backward"].map(|way| (class, way)));
        both.map(|(class, way)| (class, way, &self.status["classes"][class]["pools"][way]))
    }

    /// The most frequent first.
    fn drops(&self) -> Vec<(&str, u64)> {
        let dropped = self.status["dropped"].as_object();
        let counts = dropped.into_iter().flatten();
        let mut drops: Vec<_> =
            counts.map(|(label, count)| (label.as_str(), count.as_u64().unwrap_or(0))).collect();
        drops.sort_by_key(|&(label, count)| (std::cmp::Reverse(count), label));
        drops
    }

    fn dropped(&self) -> String {
        let drops = self.drops();
        if drops.is_empty() {
            return "nothing was dropped\n\n".into();
        }
        let mut table = Table::new(&["dropped", "reason", "which is"]);
        for (label, count) in drops {
            let means = words::word(label).map_or("", |word| word.means);
            table.row([count.to_string(), label.to_owned(), means.to_owned()]);
        }
        table.text() + "\n"
    }

    /// What an operator should look at.
    fn look(&self) -> String {
        let mut text = String::new();
        let mut at = |what: &str| {
            let _ = writeln!(text, "  {what}");
        };
        if !self.ready() {
            at("the node does not serve: it is starting or ending; its log says more");
        }
        let [listed, known, linked] =
            ["listed", "known", "linked"].map(|part| self.number(&format!("/nodes/{part}")));
        // A listed node knows itself without being told.
        let others = if self.role() == "entry" { listed } else { listed.saturating_sub(1) };
        if known < others {
            let silent = others - known;
            at(&format!("the keys of {silent} listed nodes are not known: `mingle network check`"));
        }
        if linked == 0 && self.role() != "exit" {
            at("no link to a listed node: firewall, network list, or those nodes are down");
        }
        for (class, direction, pool) in self.pools() {
            let (batches, mean) = (pool["batches"].as_u64(), pool["mean"]["channels"].as_f64());
            let strategy = self.word(&format!("/classes/{class}/strategy"));
            let hides = self.role() == "mix" && strategy != "none" && batches > Some(0);
            if let Some(mean) = mean.filter(|&mean| hides && mean < FEW) {
                at(&format!(
                    "{class} {direction}: {mean:.1} channels leave together, which hides hardly \
                     anybody: too few users at a time, not a fault"
                ));
            }
        }
        for (label, _) in self.drops() {
            if let Some(look) = words::word(label).and_then(|word| word.look) {
                at(&format!("{label}: {look}"));
            }
        }
        if text.is_empty() { "nothing to look at\n".into() } else { format!("look at\n{text}") }
    }
}

/// Fewer channels together than this are no crowd.
const FEW: f64 = 2.0;

fn date(millis: u64) -> String {
    let since = Duration::from_millis(millis.min(LAST_SHOWN));
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// The last millisecond of the year 9999.
const LAST_SHOWN: u64 = 253_402_300_799_999;

/// Two units are enough for people.
fn coarse(age: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(age.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn shown(status: &Value) -> String {
        text(status, Date::from_millis(NOW), Duration::from_secs(60))
    }

    fn mix() -> Value {
        let pool = json!({
            "waiting": 1, "batches": 10, "cells": 40,
            "mean": { "cells": 4.0, "channels": 3.25, "links": 2.0, "entropy_bits": 1.5 },
        });
        let class = |strategy| json!({ "strategy": strategy, "pools": { "forward": pool, "backward": pool } });
        json!({
            "ready": true, "complete": true, "name": "north", "role": "mix", "network": "test",
            "started_ms": NOW - 7_384_000, "figures_date_ms": NOW,
            "nodes": { "listed": 4, "known": 3, "linked": 1 }, "links": 2,
            "channels": { "now": 5, "opened": 9, "ended": 4 },
            "datagrams": { "out": 0, "in": 0 }, "dropped": {},
            "classes": { "small": class("timed 10ms"), "large": class("threshold 16 20ms") },
        })
    }

    #[test]
    fn a_healthy_mix_has_nothing_to_look_at() {
        let text = shown(&mix());
        for part in [
            "north, a mix of network \"test\"",
            "since 2023-11-14 20:10:16 UTC (2h 3m)",
            "4 listed, 3 known, 1 linked",
            "5 now, 9 opened, 4 ended",
            "threshold 16 20ms",
            "3.2",
            "nothing was dropped",
            "nothing to look at",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_an_operator_should_look_at_is_named() {
        let mut status = mix();
        status["ready"] = false.into();
        status["nodes"] = json!({ "listed": 4, "known": 1, "linked": 0 });
        status["classes"]["small"]["pools"]["forward"]["mean"]["channels"] = 1.1.into();
        status["dropped"] = json!({ "bad_check": 3, "send_refused": 7, "of_tomorrow": 1 });
        let text = shown(&status);
        for part in [
            "does not serve",
            "keys of 2 listed nodes",
            "no link to a listed node",
            "small forward: 1.1 channels",
            "send_refused: full buffers",
            "of_tomorrow",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.find("send_refused") < text.find("bad_check"), "the most frequent first");
    }

    #[test]
    fn a_page_that_says_nothing_ends_nothing() {
        for status in [json!({}), json!(null), json!({ "classes": 3, "dropped": [1] })] {
            assert!(!shown(&status).is_empty());
        }
    }
}
