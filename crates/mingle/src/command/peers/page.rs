//! Mixers for people: a table, and a page with the text to paste.

use std::path::Path;

use payment::document::{PeerInfo, Signed};
use serde_json::json;

use crate::Error;
use crate::payments::peer_file;
use crate::table::Table;

/// What is shown.
pub(super) struct Shown(Vec<Signed<PeerInfo>>);

impl Shown {
    pub(super) fn of(infos: Vec<Signed<PeerInfo>>) -> Self {
        Self(infos)
    }

    /// The table.
    pub(super) fn text(&self) -> String {
        if self.0.is_empty() {
            return "No mixers are known yet.\n".into();
        }
        let mut table =
            Table::new(&["account", "where", "vouched", "least", "fee", "company", "longest wait"]);
        for info in self.0.iter().map(Signed::content) {
            table.row(Self::cells(info));
        }
        table.text()
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let one = |info: &Signed<PeerInfo>| {
            let PeerInfo { pubkey, host, idty, terms, sigtime, .. } = info.content();
            json!({
                "account": pubkey.to_string(),
                "host": host.address,
                "port": host.port,
                "identity": idty.as_ref().map(|(identity, _)| identity.to_string()),
                "signed": sigtime,
                "least": terms.least.units(),
                "fee": terms.fee.units(),
                "company": terms.company,
                "wait_max_s": terms.wait_max_s,
            })
        };
        format!("{}\n", json!({ "peers": self.0.iter().map(one).collect::<Vec<_>>() }))
    }

    fn cells(info: &PeerInfo) -> [String; 7] {
        let wait = std::time::Duration::from_secs(info.terms.wait_max_s);
        [
            info.pubkey.to_string(),
            format!("{}:{}", info.host.address, info.host.port),
            // Whether the identity is a member, only the ledger knows.
            if info.idty.is_some() { "by an identity" } else { "no" }.into(),
            info.terms.least.to_string(),
            info.terms.fee.to_string(),
            info.terms.company.to_string(),
            humantime::format_duration(wait).to_string(),
        ]
    }

    /// Writes the page, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let rows = self.0.iter().map(Signed::content).map(|info| {
            let cells = Self::cells(info).map(|cell| format!("<td>{}</td>", escaped(&cell)));
            format!("<tr>{}</tr>\n", cells.concat())
        });
        let text = peer_file::text(&peer_file::page(self.0.iter().map(Signed::bytes)));
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Mixers</title>\n\
             <h1>Mixers</h1>\n<table>\n<tr><th>account<th>where<th>vouched<th>least<th>fee<th>company\
             <th>longest wait</tr>\n{}</table>\n\
             <p>To know them, save this text in a file and run <code>mingle peers import FILE</code>:</p>\n\
             <pre>{text}</pre>\n</html>\n",
            rows.collect::<String>(),
        );
        let beside = path.with_extension("new");
        std::fs::write(&beside, page).map_err(|why| Error::write(&beside, why))?;
        std::fs::rename(&beside, path).map_err(|why| Error::write(path, why))
    }
}

/// Hosts hold letters, digits and `-.:[]` only; this keeps the page whole whatever else changes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
