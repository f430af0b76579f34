//! Questions to a running mixer, over the socket in its folder.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::control::FILE;
use crate::Error;

/// A running mixer, as its operator reaches it.
pub struct Operator {
    http: reqwest::Client,
    folder: PathBuf,
}

impl Operator {
    /// The mixer of a folder.
    ///
    /// # Errors
    /// When the system has no sockets for us.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        let http = reqwest::Client::builder().no_proxy().unix_socket(folder.join(FILE)).build();
        let http =
            http.map_err(|why| Error::system("an HTTP client", std::io::Error::other(why)))?;
        Ok(Self { http, folder: folder.to_owned() })
    }

    /// Asks.
    ///
    /// # Errors
    /// When the mixer does not run, or refuses.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.answered(self.http.get(at(path))).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<Value, Error> {
        self.answered(self.http.post(at(path)).body(body)).await
    }

    async fn answered(&self, request: reqwest::RequestBuilder) -> Result<Value, Error> {
        let shown = self.folder.display();
        let silent =
            || Error::Failed(format!("the mixer of {shown} does not run: mingle run {shown}"));
        let response = request.send().await.map_err(|_| silent())?;
        let fine = response.status().is_success();
        let body = response.bytes().await.map_err(|_| silent())?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        match fine {
            true => Ok(value),
            false => Err(Error::Failed(value["message"].as_str().unwrap_or("refused").to_owned())),
        }
    }
}

/// The socket has no host, but HTTP wants one.
fn at(path: &str) -> String {
    format!("http://mixer{path}")
}
