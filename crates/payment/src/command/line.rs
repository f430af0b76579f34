//! A request's path, read as a line of commands.
//!
//! ```text
//! /json/peers/info                      questions, answers merged in one map; JSON instead of UBJSON
//! /mix/SENDER/AMOUNT/0/client           one act, with a body
//! /info/mix/SENDER/AMOUNT/0             both
//! ```
//! What always holds: each command stands there at most once, and at most one of them takes the body.

use std::collections::BTreeSet;

use super::PATH_SIZE_MAX;
use crate::effect::Refused;

/// What one request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whether the answer is to be JSON.
    pub json: bool,
    /// What is asked.
    pub questions: BTreeSet<Question>,
    /// What is done with the body.
    pub act: Option<Act>,
}

/// What anybody may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// The mixers it knows.
    Peers,
    /// Its own peer info.
    Info,
    /// Its account.
    Pubkey,
    /// The program's name and version.
    Version,
    /// The address that the asker has from here.
    Address,
}

/// What takes the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The peer info of a mixer.
    New,
    /// One of [`super::Command`], by the path that it is read from.
    Order(String),
    /// A whole request in an envelope.
    Sealed,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Peers, Self::Info, Self::Pubkey, Self::Version, Self::Address];

    /// Its word in the path, and in the answer.
    pub fn word(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Info => "info",
            Self::Pubkey => "pubkey",
            Self::Version => "version",
            Self::Address => "address",
        }
    }
}

impl Line {
    /// Reads a path.
    ///
    /// # Errors
    /// [`Refused::NoCommand`] for an empty or unknown one, a word twice, or two that take the body.
    pub fn read(path: &str) -> Result<Self, Refused> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.len() > PATH_SIZE_MAX {
            return Err(Refused::NoCommand);
        }
        let mut words = path.split('/').peekable();
        let json = words.next_if_eq(&"json").is_some();
        let mut line = Self { json, questions: BTreeSet::new(), act: None };
        while let Some(word) = words.next() {
            if let Some(question) = Question::ALL.into_iter().find(|q| q.word() == word) {
                if !line.questions.insert(question) {
                    return Err(Refused::NoCommand);
                }
                continue;
            }
            let parameters = match word {
                "new" | "sealed" => 0,
                "mix" => 3,
                "confirm" | "getconfirm" => 2,
                _ => return Err(Refused::NoCommand),
            };
            let mut order = format!("/{word}");
            for _ in 0..parameters {
                order.push('/');
                order.push_str(words.next().ok_or(Refused::NoCommand)?);
            }
            if word == "mix" && words.next_if_eq(&"client").is_some() {
                order.push_str("/client");
            }
            let act = match word {
                "new" => Act::New,
                "sealed" => Act::Sealed,
                _ => Act::Order(order),
            };
            if line.act.replace(act).is_some() {
                return Err(Refused::NoCommand);
            }
        }
        match line.act.is_none() && line.questions.is_empty() {
            true => Err(Refused::NoCommand),
            false => Ok(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_one_act_are_read_in_any_order() {
        let line = Line::read("/json/peers/mix/A/5/0/client/info/").unwrap();
        assert!(line.json);
        assert_eq!(line.questions, BTreeSet::from([Question::Peers, Question::Info]));
        assert_eq!(line.act, Some(Act::Order("/mix/A/5/0/client".into())));
        assert_eq!(Line::read("/new").unwrap().act, Some(Act::New));
        assert_eq!(Line::read("/sealed").unwrap().act, Some(Act::Sealed));
        let line = Line::read("/confirm/A/B/version").unwrap();
        assert_eq!(line.act, Some(Act::Order("/confirm/A/B".into())));
    }

    #[test]
    fn a_line_that_says_too_much_or_nothing_is_refused() {
        let long = format!("/{}", "peers/".repeat(100));
        for odd in [
            "",
            "/",
            "//",
            "/json",
            "/json/json/info",
            "/info/info",
            "/new/sealed",
            "/mix/a/b",
            "/getconfirm/a",
            "/peers//info",
            "/what",
            &long,
            "/mix/a/1/0/client/client",
        ] {
            assert_eq!(Line::read(odd), Err(Refused::NoCommand), "{odd}");
        }
    }
}
