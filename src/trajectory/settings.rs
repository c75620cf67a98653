//! What a run declares about itself: the header metadata of a trajectory file.
//!
//! Everything is optional and nothing is guessed. A value that cannot be read stays as it is in [`Settings::other`], with
//! a note; `None`, `null` and the empty string mean "not declared".

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Side;
use crate::rounding::Precision;

/// How two embeddings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// ⟨q, p⟩ / (‖q‖·‖p‖).
    Cosine,
    /// ⟨q, p⟩.
    Dot,
}

/// Where the epsilon of a cosine enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpsOn {
    /// max(‖q‖, ε).
    Norm,
    /// √max(‖q‖², ε).
    Norm2,
    /// max(‖q‖·‖p‖, ε).
    Product,
    /// ‖q‖ + ε.
    Add,
}

/// Which rows an optimizer step visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// Every row, looked up or not.
    Dense,
    /// Only rows that were looked up: the state of the others waits.
    Lazy,
}

macro_rules! lowercase_names {
    ($($type:ident { $($variant:ident = $name:literal),* }),*) => {$(
        impl $type {
            /// Every value.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            /// The name used in trajectory files.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name),* }
            }

            /// Reads the name, in any case.
            pub fn parse(name: &str) -> Option<$type> {
                let name = name.trim();
                Self::ALL.iter().copied().find(|value| value.name().eq_ignore_ascii_case(name))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    )*};
}
lowercase_names!(
    Similarity { Cosine = "cosine", Dot = "dot" },
    EpsOn { Norm = "norm", Norm2 = "norm2", Product = "product", Add = "add" },
    Rows { Dense = "dense", Lazy = "lazy" }
);

/// The optimizer as declared: a JSON object in the header key `optimizer`.
///
/// Numbers and booleans may arrive as strings. Text that is not a JSON object becomes the `description`, which is shown
/// and not interpreted.
///
/// ```
/// use perpend::trajectory::DeclaredOptimizer;
/// let (optimizer, notes) = DeclaredOptimizer::parse(r#"{"name": "sgd", "lr": "0.05", "nesterov": "True"}"#);
/// assert_eq!((optimizer.lr, optimizer.nesterov), (Some(0.05), Some(true)));
/// assert!(notes.is_empty());
/// let (optimizer, _) = DeclaredOptimizer::parse("SGD with warm-up");
/// assert_eq!(optimizer.description.as_deref(), Some("SGD with warm-up"));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeclaredOptimizer {
    /// Its name, as written.
    pub name: Option<String>,
    /// Learning rate η, where it is one number.
    pub lr: Option<f64>,
    /// Momentum β.
    pub momentum: Option<f64>,
    /// Dampening of the gradient that enters the momentum.
    pub dampening: Option<f64>,
    /// Weight decay λ.
    pub weight_decay: Option<f64>,
    /// Nesterov momentum.
    pub nesterov: Option<bool>,
    /// Whether the decay bypasses the gradient (AdamW) or is added to it.
    pub decoupled: Option<bool>,
    /// Decay rates of Adam's two moments.
    pub betas: Option<(f64, f64)>,
    /// Epsilon of an adaptive optimizer.
    pub eps: Option<f64>,
    /// Which rows a step visits.
    pub sparse: Option<Rows>,
    /// Free text, shown and not interpreted.
    pub description: Option<String>,
    /// Other declared keys, and declared values that could not be read, as JSON text.
    pub other: BTreeMap<String, String>,
}

/// Whether a value means "not declared".
fn absent(text: &str) -> bool {
    matches!(text.trim(), "" | "None" | "null")
}

/// A finite number, plain or in quotes.
fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|value| value.is_finite())
}

fn integer(text: &str) -> Option<i64> {
    let exact = |value: &f64| value.fract() == 0.0 && value.abs() < 2.0_f64.powi(53);
    text.trim().parse().ok().or_else(|| number(text).filter(exact).map(|value| value as i64))
}

fn json_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|value| value.is_finite()),
        Value::String(text) => number(text),
        _ => None,
    }
}

fn json_boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn json_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn json_pair(value: &Value) -> Option<(f64, f64)> {
    match value {
        Value::Array(values) => match values.as_slice() {
            [first, second] => Some((json_number(first)?, json_number(second)?)),
            _ => None,
        },
        // How Python prints a tuple or a list.
        Value::String(text) => {
            let text = text.trim();
            let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let inner = inner.or_else(|| text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')))?;
            let (first, second) = inner.split_once(',')?;
            Some((number(first)?, number(second)?))
        }
        _ => None,
    }
}

/// JSON for a number. A decimal that the JSON parser would not round correctly travels as a string.
fn number_to_json(value: f64) -> Value {
    let text = format!("{value:?}");
    match serde_json::from_str::<f64>(&text) {
        Ok(read) if read.to_bits() == value.to_bits() => Value::from(value),
        _ => Value::String(text),
    }
}

impl DeclaredOptimizer {
    /// Reads a declaration; the notes say which declared values could not be read.
    pub fn parse(text: &str) -> (DeclaredOptimizer, Vec<String>) {
        let mut optimizer = DeclaredOptimizer::default();
        let mut notes = Vec::new();
        if absent(text) {
            return (optimizer, notes);
        }
        let Ok(Value::Object(entries)) = serde_json::from_str::<Value>(text) else {
            optimizer.description = Some(text.to_owned());
            return (optimizer, notes);
        };
        for (key, value) in &entries {
            if value.is_null() || value.as_str().is_some_and(absent) {
                continue;
            }
            fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
                *field = value;
                field.is_some()
            }
            let (read, expected) = match key.as_str() {
                "name" => (set(&mut optimizer.name, json_text(value)), "a string"),
                "lr" => (set(&mut optimizer.lr, json_number(value)), "a number"),
                "momentum" => (set(&mut optimizer.momentum, json_number(value)), "a number"),
                "dampening" => (set(&mut optimizer.dampening, json_number(value)), "a number"),
                "weight_decay" => (set(&mut optimizer.weight_decay, json_number(value)), "a number"),
                "nesterov" => (set(&mut optimizer.nesterov, json_boolean(value)), "true or false"),
                "decoupled" => (set(&mut optimizer.decoupled, json_boolean(value)), "true or false"),
                "betas" => (set(&mut optimizer.betas, json_pair(value)), "two numbers"),
                "eps" => (set(&mut optimizer.eps, json_number(value)), "a number"),
                "sparse" => (set(&mut optimizer.sparse, value.as_str().and_then(Rows::parse)), "dense or lazy"),
                "description" => (set(&mut optimizer.description, json_text(value)), "a string"),
                _ => (false, ""),
            };
            if !read {
                optimizer.other.insert(key.clone(), value.to_string());
                if !expected.is_empty() {
                    notes.push(format!("optimizer: {key}: expected {expected}, found {value}; taken as not declared"));
                }
            }
        }
        (optimizer, notes)
    }

    /// The text that [`DeclaredOptimizer::parse`] reads back: JSON, or the bare description where there is nothing else.
    pub fn to_text(&self) -> String {
        if let Some(text) = &self.description {
            let bare = DeclaredOptimizer { description: Some(text.clone()), ..DeclaredOptimizer::default() };
            if *self == bare && !absent(text) && DeclaredOptimizer::parse(text).0 == bare {
                return text.clone();
            }
        }
        let mut entries = serde_json::Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                entries.insert(key.to_owned(), value);
            }
        };
        put("name", self.name.clone().map(Value::from));
        put("lr", self.lr.map(number_to_json));
        put("momentum", self.momentum.map(number_to_json));
        put("dampening", self.dampening.map(number_to_json));
        put("weight_decay", self.weight_decay.map(number_to_json));
        put("nesterov", self.nesterov.map(Value::from));
        put("decoupled", self.decoupled.map(Value::from));
        put("betas", self.betas.map(|(a, b)| Value::from(vec![number_to_json(a), number_to_json(b)])));
        put("eps", self.eps.map(number_to_json));
        put("sparse", self.sparse.map(|rows| Value::from(rows.name())));
        put("description", self.description.clone().map(Value::from));
        for (key, text) in &self.other {
            put(key, Some(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))));
        }
        Value::Object(entries).to_string()
    }
}

/// The declared settings of a run: the header metadata of a trajectory file.
///
/// ```
/// use std::collections::BTreeMap;
/// use perpend::trajectory::{Settings, Similarity};
/// let header = BTreeMap::from([
///     ("similarity".to_owned(), "cosine".to_owned()),
///     ("temperature".to_owned(), "warm".to_owned()),
/// ]);
/// let (settings, notes) = Settings::from_metadata(&header);
/// assert_eq!(settings.similarity, Some(Similarity::Cosine));
/// assert_eq!(settings.temperature, None);
/// assert_eq!(notes, ["temperature: expected a positive number, found \"warm\"; taken as not declared"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// How embeddings are compared.
    pub similarity: Option<Similarity>,
    /// The epsilon of the cosine.
    pub eps: Option<f64>,
    /// Where that epsilon enters.
    pub eps_on: Option<EpsOn>,
    /// The temperature τ that similarities are divided by.
    pub temperature: Option<f64>,
    /// The name of the loss.
    pub loss: Option<String>,
    /// The optimizer.
    pub optimizer: Option<DeclaredOptimizer>,
    /// What makes the embedding from parameters: `id`, `hash`, `hash-sum`, `mlp`, `pooled`, `graph`, ….
    pub encoder: Option<String>,
    /// The format of the parameters, which may be narrower than that of the recorded arrays.
    pub param_dtype: Option<Precision>,
    /// The format that products are accumulated in.
    pub compute_dtype: Option<Precision>,
    /// Where in the pipeline `grad` was recorded; `raw` = before clipping, decay and unscaling.
    pub grad_stage: Option<String>,
    /// How many backward passes make one step.
    pub grad_accum: Option<u64>,
    /// An id that means "no lookup", beside −1.
    pub padding_id: Option<i64>,
    /// The framework and its version.
    pub framework: Option<String>,
    /// What was recorded: a program, a class, a run.
    pub implementation: Option<String>,
    /// Keys that are not part of the format, values that could not be read, and the towers' own declarations
    /// (`item/optimizer`), as written.
    pub other: BTreeMap<String, String>,
}

/// Reads one known key into its field. `Err(expected)` where the value cannot be read, `None` for a key that is not known.
fn read_key(
    settings: &mut Settings,
    key: &str,
    text: &str,
    notes: &mut Vec<String>,
) -> Option<Result<(), &'static str>> {
    fn set<T>(field: &mut Option<T>, value: Option<T>, expected: &'static str) -> Option<Result<(), &'static str>> {
        let read = value.is_some();
        if read {
            *field = value;
        }
        Some(if read { Ok(()) } else { Err(expected) })
    }
    let string = || Some(text.to_owned());
    match key {
        "similarity" => set(&mut settings.similarity, Similarity::parse(text), "cosine or dot"),
        "eps" => set(&mut settings.eps, number(text).filter(|eps| *eps >= 0.0), "a number of at least 0"),
        "eps_on" => set(&mut settings.eps_on, EpsOn::parse(text), "norm, norm2, product or add"),
        "temperature" => set(&mut settings.temperature, number(text).filter(|t| *t > 0.0), "a positive number"),
        "loss" => set(&mut settings.loss, string(), ""),
        "optimizer" => {
            let (optimizer, found) = DeclaredOptimizer::parse(text);
            notes.extend(found);
            set(&mut settings.optimizer, Some(optimizer), "")
        }
        "encoder" => set(&mut settings.encoder, string(), ""),
        "param_dtype" => set(&mut settings.param_dtype, Precision::parse(text), "a floating-point format"),
        "compute_dtype" => set(&mut settings.compute_dtype, Precision::parse(text), "a floating-point format"),
        "grad_stage" => set(&mut settings.grad_stage, string(), ""),
        "grad_accum" => {
            let count = integer(text).and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0);
            set(&mut settings.grad_accum, count, "a positive integer")
        }
        "padding_id" => set(&mut settings.padding_id, integer(text), "an integer"),
        "framework" => set(&mut settings.framework, string(), ""),
        "implementation" => set(&mut settings.implementation, string(), ""),
        _ => None,
    }
}

impl Settings {
    /// Reads header metadata. The notes name every value that could not be read and every key that is not part of the
    /// format; both stay in [`Settings::other`]. The version key `perpend` is skipped here and checked when a file is opened.
    pub fn from_metadata<'m>(metadata: impl IntoIterator<Item = (&'m String, &'m String)>) -> (Settings, Vec<String>) {
        let mut settings = Settings::default();
        let mut notes = Vec::new();
        let mut unknown = Vec::new();
        // Hash maps come in any order; notes must not.
        let metadata: BTreeMap<&String, &String> = metadata.into_iter().collect();
        for (key, text) in metadata {
            if key == "perpend" {
                continue;
            }
            let (side, name) = Side::split(key);
            // "Not declared" must not hide what the other tower or the whole run declares, so it is never an override.
            if absent(text) {
                continue;
            }
            let mut found = Vec::new();
            let read = match side {
                None => read_key(&mut settings, name, text, &mut found),
                Some(_) => read_key(&mut Settings::default(), name, text, &mut found),
            };
            let prefix = side.map(Side::prefix).unwrap_or_default();
            notes.extend(found.into_iter().map(|note| format!("{prefix}{note}")));
            match read {
                Some(Ok(())) if side.is_none() => continue,
                Some(Ok(())) => {}
                Some(Err(expected)) => {
                    notes.push(format!("{key}: expected {expected}, found {text:?}; taken as not declared"));
                }
                None => unknown.push(key.as_str()),
            }
            settings.other.insert(key.clone(), text.clone());
        }
        if !unknown.is_empty() {
            notes.push(format!("header keys that are not interpreted: {}", unknown.join(", ")));
        }
        (settings, notes)
    }

    /// The header metadata that [`Settings::from_metadata`] reads back, with the version key `perpend` = `1`.
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.other.clone();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                metadata.insert(key.to_owned(), value);
            }
        };
        put("perpend", Some("1".to_owned()));
        put("similarity", self.similarity.map(|value| value.to_string()));
        put("eps", self.eps.map(|value| format!("{value:?}")));
        put("eps_on", self.eps_on.map(|value| value.to_string()));
        put("temperature", self.temperature.map(|value| format!("{value:?}")));
        put("loss", self.loss.clone());
        put("optimizer", self.optimizer.as_ref().map(DeclaredOptimizer::to_text));
        put("encoder", self.encoder.clone());
        put("param_dtype", self.param_dtype.map(|value| value.to_string()));
        put("compute_dtype", self.compute_dtype.map(|value| value.to_string()));
        put("grad_stage", self.grad_stage.clone());
        put("grad_accum", self.grad_accum.map(|value| value.to_string()));
        put("padding_id", self.padding_id.map(|value| value.to_string()));
        put("framework", self.framework.clone());
        put("implementation", self.implementation.clone());
        metadata
    }

    /// Declares settings of one tower, which override the common ones: `item/optimizer` beside `optimizer`.
    ///
    /// Replaces what that tower declared before. What `own` leaves undeclared is inherited.
    ///
    /// ```
    /// use perpend::trajectory::{Settings, Side, Similarity};
    /// let mut settings = Settings { similarity: Some(Similarity::Cosine), ..Settings::default() };
    /// settings.set_tower(Side::User, &Settings { encoder: Some("mlp".into()), ..Settings::default() });
    /// assert_eq!(settings.for_tower(Some(Side::User)).encoder.as_deref(), Some("mlp"));
    /// assert_eq!(settings.for_tower(Some(Side::User)).similarity, Some(Similarity::Cosine));
    /// assert_eq!(settings.for_tower(Some(Side::Item)).encoder, None);
    /// ```
    pub fn set_tower(&mut self, side: Side, own: &Settings) {
        self.other.retain(|key, _| Side::split(key).0 != Some(side));
        for (key, text) in own.to_metadata() {
            if key != "perpend" {
                self.other.insert(format!("{}{key}", side.prefix()), text);
            }
        }
    }

    /// The settings of one tower: its own declarations over the common ones.
    pub fn for_tower(&self, side: Option<Side>) -> Settings {
        let mut settings = self.clone();
        settings.other.retain(|key, _| Side::split(key).0.is_none());
        for (key, text) in &self.other {
            let (owner, name) = Side::split(key);
            if owner.is_some() && owner == side && !absent(text) {
                match read_key(&mut settings, name, text, &mut Vec::new()) {
                    Some(Ok(())) => {}
                    _ => drop(settings.other.insert(name.to_owned(), text.clone())),
                }
            }
        }
        settings
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(entries: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let metadata: std::collections::HashMap<String, String> =
            entries.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Settings::from_metadata(&metadata)
    }

    #[test]
    fn nothing_declared_is_nothing_known() {
        assert_eq!(read(&[]), (Settings::default(), vec![]));
        let entries =
            [("similarity", "None"), ("eps", "null"), ("loss", ""), ("init_std", "None"), ("item/eps", "None")];
        assert_eq!(read(&entries), (Settings::default(), vec![]));
        for text in ["", " ", "None", "null", "{}"] {
            let (optimizer, notes) = DeclaredOptimizer::parse(text);
            assert_eq!((&optimizer, notes), (&DeclaredOptimizer::default(), vec![]), "{text:?}");
            assert_eq!(DeclaredOptimizer::parse(&optimizer.to_text()).0, optimizer);
        }
    }

    #[test]
    fn numbers_and_booleans_may_arrive_as_strings() {
        let text = r#"{"name":"adamw","lr":"0.05","betas":["0.9",0.999],"decoupled":"True","nesterov":"false","eps":"1e-8","sparse":"lazy","momentum":null,"weight_decay":"None"}"#;
        let (optimizer, notes) = DeclaredOptimizer::parse(text);
        assert!(notes.is_empty(), "{notes:?}");
        let expected = DeclaredOptimizer {
            name: Some("adamw".into()),
            lr: Some(0.05),
            betas: Some((0.9, 0.999)),
            decoupled: Some(true),
            nesterov: Some(false),
            eps: Some(1e-8),
            sparse: Some(Rows::Lazy),
            ..DeclaredOptimizer::default()
        };
        assert_eq!(optimizer, expected);
        assert_eq!(DeclaredOptimizer::parse(r#"{"betas": "(0.9, 0.999)"}"#).0.betas, Some((0.9, 0.999)));
    }

    #[test]
    fn what_is_not_a_json_object_is_a_description() {
        for text in ["SGD(lr=0.05)", "0.05", "\"sgd\"", "[1]", "{\"lr\": NaN}", "{\"lr\": 0.05"] {
            let (settings, notes) = read(&[("optimizer", text)]);
            let optimizer = settings.optimizer.unwrap();
            assert_eq!(optimizer, DeclaredOptimizer { description: Some(text.into()), ..Default::default() });
            assert!(notes.is_empty());
        }
    }

    #[test]
    fn unreadable_values_are_kept_and_noted_and_never_guessed() {
        let (settings, notes) = read(&[
            ("similarity", "angular"),
            ("eps", "-1"),
            ("temperature", "0"),
            ("padding_id", "1.5"),
            ("grad_accum", "0"),
            ("param_dtype", "int8"),
            ("eps_on", "square"),
            ("optimizer", r#"{"lr": [0.1, 0.2], "sparse": "some", "clip": 1.0}"#),
            ("sampler", "zipf"),
            ("seed", "7"),
            ("user/eps", "tiny"),
        ]);
        assert_eq!(
            notes,
            [
                "eps: expected a number of at least 0, found \"-1\"; taken as not declared",
                "eps_on: expected norm, norm2, product or add, found \"square\"; taken as not declared",
                "grad_accum: expected a positive integer, found \"0\"; taken as not declared",
                "optimizer: lr: expected a number, found [0.1,0.2]; taken as not declared",
                "optimizer: sparse: expected dense or lazy, found \"some\"; taken as not declared",
                "padding_id: expected an integer, found \"1.5\"; taken as not declared",
                "param_dtype: expected a floating-point format, found \"int8\"; taken as not declared",
                "similarity: expected cosine or dot, found \"angular\"; taken as not declared",
                "temperature: expected a positive number, found \"0\"; taken as not declared",
                "user/eps: expected a number of at least 0, found \"tiny\"; taken as not declared",
                "header keys that are not interpreted: sampler, seed",
            ]
        );
        let optimizer = settings.optimizer.as_ref().unwrap();
        assert_eq!(optimizer.lr, None);
        let other: Vec<_> = optimizer.other.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(other, [("clip", "1.0"), ("lr", "[0.1,0.2]"), ("sparse", "\"some\"")]);
        assert_eq!(settings.other["similarity"], "angular");
        assert_eq!(Settings::from_metadata(&settings.to_metadata()), (settings, notes));
    }

    #[test]
    fn a_tower_overrides_what_the_run_declares() {
        let (settings, notes) = read(&[
            ("optimizer", r#"{"name": "sgd", "lr": 0.1}"#),
            ("user/optimizer", r#"{"name": "adam", "lr": 0.01}"#),
            ("item/padding_id", "0"),
            ("item/sampler", "zipf"),
        ]);
        assert_eq!(notes, ["header keys that are not interpreted: item/sampler"]);
        let name = |side| settings.for_tower(side).optimizer.unwrap().name.unwrap();
        assert_eq!([name(None), name(Some(Side::Item)), name(Some(Side::User))], ["sgd", "sgd", "adam"]);
        assert_eq!(settings.for_tower(Some(Side::Item)).padding_id, Some(0));
        assert_eq!(settings.for_tower(Some(Side::User)).padding_id, None);
        assert_eq!(settings.for_tower(Some(Side::Item)).other["sampler"], "zipf");
        assert!(settings.for_tower(None).other.is_empty());
    }

    fn text() -> impl Strategy<Value = String> {
        "[a-z{\"(][ -~]{0,12}".prop_filter("not declared", |text| !absent(text))
    }

    fn finite() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite())
    }

    prop_compose! {
        fn optimizers()(
            name in proptest::option::of(text()),
            numbers in proptest::array::uniform5(proptest::option::of(finite())),
            flags in proptest::array::uniform2(proptest::option::of(any::<bool>())),
            betas in proptest::option::of((finite(), finite())),
            sparse in proptest::option::of(proptest::sample::select(Rows::ALL)),
            description in proptest::option::of(text()),
            clip in proptest::option::of(0..9_u8),
        ) -> DeclaredOptimizer {
            DeclaredOptimizer {
                name,
                lr: numbers[0],
                momentum: numbers[1],
                dampening: numbers[2],
                weight_decay: numbers[3],
                eps: numbers[4],
                nesterov: flags[0],
                decoupled: flags[1],
                betas,
                sparse,
                description,
                other: clip.map(|clip| ("clip".to_owned(), clip.to_string())).into_iter().collect(),
            }
        }
    }

    prop_compose! {
        pub(crate) fn all_settings()(
            similarity in proptest::option::of(proptest::sample::select(Similarity::ALL)),
            eps in proptest::option::of(finite().prop_map(f64::abs)),
            eps_on in proptest::option::of(proptest::sample::select(EpsOn::ALL)),
            temperature in proptest::option::of(finite().prop_map(f64::abs).prop_filter("positive", |t| *t > 0.0)),
            texts in proptest::array::uniform5(proptest::option::of(text())),
            optimizer in proptest::option::of(optimizers()),
            formats in proptest::array::uniform2(proptest::option::of(proptest::sample::select(&Precision::ALL[..]))),
            grad_accum in proptest::option::of(1..i64::MAX as u64),
            padding_id in proptest::option::of(any::<i64>()),
            seed in proptest::option::of(text()),
        ) -> Settings {
            let [loss, encoder, grad_stage, framework, implementation] = texts;
            Settings {
                similarity,
                eps,
                eps_on,
                temperature,
                loss,
                optimizer,
                encoder,
                param_dtype: formats[0],
                compute_dtype: formats[1],
                grad_stage,
                grad_accum,
                padding_id,
                framework,
                implementation,
                other: seed.map(|seed| ("seed".to_owned(), seed)).into_iter().collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn settings_round_trip(settings in all_settings()) {
            prop_assert_eq!(&Settings::from_metadata(&settings.to_metadata()).0, &settings);
        }

        #[test]
        fn tower_settings_round_trip(common in all_settings(), own in all_settings()) {
            let mut settings = common.clone();
            settings.set_tower(Side::Item, &own);
            let settings = Settings::from_metadata(&settings.to_metadata()).0;
            prop_assert_eq!(settings.for_tower(Some(Side::User)), common.clone());
            prop_assert_eq!(settings.for_tower(None), common);
            let item = settings.for_tower(Some(Side::Item));
            if own.optimizer.is_some() {
                prop_assert_eq!(item.optimizer, own.optimizer);
            }
        }

        #[test]
        fn any_header_is_read_without_panic(entries in proptest::collection::btree_map("[ -~]{0,12}", "\\PC{0,24}", 0..6)) {
            let (settings, _) = Settings::from_metadata(&entries);
            let again = Settings::from_metadata(&settings.to_metadata()).0;
            prop_assert_eq!(again, settings);
        }
    }
}
