//! The messages of the protocol, as the schema has them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::scenario::Capabilities;

/// The version of the protocol that is spoken here.
pub const VERSION: u32 = 1;

/// The JSON Schema of every message.
pub const SCHEMA: &str = include_str!("../../python/perpend_harness/protocol.schema.json");

/// A message to the trainer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Message {
    /// Who is there? Answered by an [`Introduction`].
    Start { version: u32 },
    /// Train this. Answered by an [`Answer`].
    Train {
        /// The scenario without its values.
        scenario: serde_json::Value,
        /// The file of its values.
        tables: PathBuf,
        /// Where the trajectory is to be written.
        out: PathBuf,
    },
    /// End. Has no answer.
    Stop {},
}

/// The answer to [`Message::Start`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Introduction {
    pub implementation: String,
    pub version: u32,
    #[serde(flatten)]
    pub capabilities: Capabilities,
}

/// The answer to [`Message::Train`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// Done: the trajectory is written.
    Ok(True),
    /// The scenario asks for something that is not implemented.
    Unsupported(String),
    /// It went wrong; the next message is heard all the same.
    Error(String),
}

/// The constant `true`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
pub(super) struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;
    fn try_from(value: bool) -> Result<Self, &'static str> {
        value.then_some(True).ok_or("ok can only be true")
    }
}

impl From<True> for bool {
    fn from(_: True) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_strictly_as_the_schema_says() {
        let answers = [r#"{"ok":true}"#, r#"{"unsupported":"why"}"#, r#"{"error":"what"}"#];
        for good in answers {
            let answer: Answer = serde_json::from_str(good).unwrap();
            assert_eq!(serde_json::to_string(&answer).unwrap(), good);
        }
        let bad = [
            r#"{"ok":false}"#,
            r#"{"ok":1}"#,
            r#"{"ok":true,"error":"both"}"#,
            r#"{"ok":true,"ok":true}"#,
            r#"{"unsupported":1}"#,
            r#"{"done":true}"#,
            "{}",
            r#"{"ok":true} {"ok":true}"#,
            r#""ok""#,
        ];
        for bad in bad {
            assert!(serde_json::from_str::<Answer>(bad).is_err(), "{bad}");
        }
        let introduction = r#"{"implementation":"mine","version":1,"losses":["info-nce"]}"#;
        let read: Introduction = serde_json::from_str(introduction).unwrap();
        assert_eq!((read.version, &read.capabilities.encoders), (1, &None));
        assert_eq!(read.capabilities.losses, Some(vec!["info-nce".to_string()]));
        assert_eq!(serde_json::to_string(&read).unwrap(), introduction);
        // What the schema does not forbid is no error.
        assert!(serde_json::from_str::<Introduction>(r#"{"implementation":"","version":1,"more":2}"#).is_ok());
        for bad in [
            r#"{"version":1}"#,
            r#"{"implementation":"mine"}"#,
            r#"{"implementation":"mine","version":"1"}"#,
            r#"{"implementation":"mine","version":1,"losses":"info-nce"}"#,
            r#"{"implementation":"mine","version":1,"losses":null}"#,
            r#"{"implementation":"mine","version":1,"losses":["bpr","bpr"]}"#,
        ] {
            assert!(serde_json::from_str::<Introduction>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_are_written_as_the_schema_says() {
        let train = Message::Train { scenario: serde_json::json!({}), tables: "in".into(), out: "out".into() };
        let texts = [
            (Message::Start { version: VERSION }, r#"{"cmd":"start","version":1}"#),
            (train, r#"{"cmd":"train","scenario":{},"tables":"in","out":"out"}"#),
            (Message::Stop {}, r#"{"cmd":"stop"}"#),
        ];
        for (message, text) in texts {
            assert_eq!(serde_json::to_string(&message).unwrap(), text);
        }
        assert!(serde_json::from_str::<Message>(r#"{"cmd":"stop","now":true}"#).is_err());
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["$defs"]["capabilities"]["properties"]["version"]["const"], VERSION);
    }
}
