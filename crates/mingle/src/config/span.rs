//! Spans of time in files: `"20ms"`, `"1m 30s"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes a span.
pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*span))
}

/// Reads a span.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

/// The longest span that a setting may say: sums of a few of them stay far from what numbers hold.
pub(crate) const SPAN_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads a span from a text.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text)
        .map_err(|why| format!("{text:?} is no span of time such as \"20ms\" or \"1m\": {why}"))?;
    match span <= SPAN_MAX {
        true => Ok(span),
        false => Err(format!("{text:?} is longer than a hundred years")),
    }
}
