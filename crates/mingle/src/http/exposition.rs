//! The published copy in the form that Prometheus reads (OpenMetrics text).
//!
//! Labels are a reason, a class, a direction or a strategy: never a link, peer or channel.

use std::fmt;
use std::sync::Arc;

use datagram::network::Class;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::figures::{About, Published, Snapshot};

/// The content type of `text`.
pub(super) const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a node.
pub(super) fn text(published: &Arc<Published>) -> String {
    let mut registry = Registry::with_prefix("mingle");
    registry.register_collector(Box::new(Page(published.clone())));
    let mut text = String::new();
    // Writing to a string does not fail, and half a page would still be well-formed to its end.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Page(Arc<Published>);

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut writer = Writer(encoder);
        let about = self.0.about();
        let ready = f64::from(u8::from(self.0.ready()));
        writer.number("ready", "Whether the node serves: 1 or 0", ready)?;
        let node =
            [("name", about.name.as_str()), ("role", about.role), ("network", &about.network)];
        writer.gauge("node", "Which node this is", [(node, 1.0)])?;
        let Some(snapshot) = self.0.snapshot() else { return Ok(()) };
        writer.nodes(self.0.listed(), &snapshot)?;
        writer.traffic(&snapshot)?;
        writer.pools(about, &snapshot)
    }
}

struct Writer<'a>(DescriptorEncoder<'a>);

/// Some samples of one metric: their labels and their value.
type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Writer<'_> {
    fn nodes(&mut self, listed: usize, snapshot: &Snapshot) -> fmt::Result {
        let figures = &snapshot.figures;
        let date = snapshot.date.as_secs() as f64;
        self.number("figures_date", "When these figures were taken: seconds since 1970", date)?;
        self.number("nodes_listed", "Nodes in the network list", listed as f64)?;
        self.number(
            "nodes_known",
            "Listed nodes whose current key is known",
            figures.nodes_known as f64,
        )?;
        self.number("nodes_linked", "Listed nodes with an open link", figures.nodes_linked as f64)?;
        self.number("links", "Open links", figures.links as f64)?;
        self.number("channels", "Channels", figures.channels as f64)?;
        let sizes = snapshot.sizes;
        self.number("sockets", "Sockets besides those of the links", sizes.sockets as f64)?;
        self.number("sources", "Sources of raw and forwards", sizes.sources as f64)?;
        self.number("associations", "SOCKS associations", sizes.associations as f64)
    }

    fn traffic(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let figures = &snapshot.figures;
        self.total("channels_opened", "Channels that were set up", figures.channels_opened)?;
        self.total("channels_ended", "Channels that ended", figures.channels_ended)?;
        let to_chain = "Whole datagrams: at an entry from applications, at an exit to destinations";
        self.total("datagrams_out", to_chain, figures.datagrams_out)?;
        let from_chain =
            "Whole datagrams: at an entry to applications, at an exit from destinations";
        self.total("datagrams_in", from_chain, figures.datagrams_in)?;
        let by_class = |counts: [u64; 2]| {
            Class::ALL.map(|class| ([("class", class.name())], counts[class.index()]))
        };
        self.count("cells_in", "Cells of channels that were accepted", by_class(figures.cells_in))?;
        self.count("cells_out", "Cells of channels that were sent", by_class(figures.cells_out))?;
        let core = figures.all_dropped().map(|(reason, count)| (reason.label(), count));
        let own = snapshot.lost.all().map(|(reason, count)| (reason.label(), count));
        let dropped = core.chain(own).map(|(label, count)| ([("reason", label)], count));
        self.count("dropped", "What was refused or lost, and why", dropped)
    }

    fn pools(&mut self, about: &About, snapshot: &Snapshot) -> fmt::Result {
        let pools = || {
            Class::ALL.into_iter().flat_map(|class| {
                let pools = &snapshot.figures.pools[class.index()];
                DIRECTIONS.into_iter().zip(pools).map(move |(direction, pool)| {
                    ([("class", class.name()), ("direction", direction)], pool)
                })
            })
        };
        let strategies = Class::ALL.into_iter().zip(&about.strategies);
        let strategies = strategies
            .map(|(class, strategy)| ([("class", class.name()), ("strategy", strategy)], 1.0));
        self.gauge("strategy", "The strategy of a class", strategies)?;
        let of = |value: fn(&datagram::PoolFigures) -> u64| {
            pools().map(move |(labels, pool)| (labels, value(pool)))
        };
        let waiting = pools().map(|(labels, pool)| (labels, pool.waiting as f64));
        self.gauge("pool_waiting", "Cells that wait", waiting)?;
        self.count("pool_batches", "Batches that left", of(|pool| pool.releases))?;
        self.count("pool_batch_cells", "Cells in all batches", of(|pool| pool.items))?;
        let channels = "Distinct channels in a batch, added up over the batches";
        self.count("pool_batch_channels", channels, of(|pool| pool.channels))?;
        let links = "Distinct links a batch came over, added up over the batches";
        self.count("pool_batch_links", links, of(|pool| pool.links))?;
        let entropy = "Mixing entropy in bits, added up over the batches";
        let entropies = pools().map(|(labels, pool)| (labels, pool.entropy));
        self.count("pool_entropy_bits", entropy, entropies)?;
        let last = || pools().filter_map(|(labels, pool)| Some((labels, pool.last.as_ref()?)));
        let cells = last().map(|(labels, batch)| (labels, batch.items as f64));
        self.gauge("pool_last_batch_cells", "Cells in the last batch", cells)?;
        let channels = last().map(|(labels, batch)| (labels, batch.channels as f64));
        self.gauge("pool_last_batch_channels", "Distinct channels in the last batch", channels)?;
        let bits = last().map(|(labels, batch)| (labels, batch.entropy));
        self.gauge("pool_last_batch_entropy_bits", "Mixing entropy of the last batch", bits)
    }

    fn number(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric = ConstGauge::new(value);
        metric.encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn total(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = ConstCounter::new(value);
        metric.encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn gauge<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn count<'a, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// In the order of `Figures::pools`.
pub(super) const DIRECTIONS: [&str; 2] = ["forward", "backward"];
