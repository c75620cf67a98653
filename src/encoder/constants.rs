//! What an encoder is given and never trains.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::geometry::Table;
use crate::number::Real;

/// The fixed numbers of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Constants<F> {
    /// Those that are the same for all rows.
    pub shared: Vec<F>,
    /// One row a user or item: the stretches that [`Architecture::constants`](super::Architecture::constants) lists, one
    /// after the other.
    pub rows: Table<F>,
}

impl<F> From<Table<F>> for Constants<F> {
    /// Constants of rows alone.
    fn from(rows: Table<F>) -> Self {
        Constants { shared: Vec::new(), rows }
    }
}

impl<F: Clone> Constants<F> {
    /// The constants of a row.
    pub fn row(&self, row: usize) -> &[F] {
        self.rows.row(row)
    }
    /// The same constants in another number type.
    pub fn map<G>(&self, mut convert: impl FnMut(&F) -> G) -> Constants<G> {
        Constants { shared: self.shared.iter().map(&mut convert).collect(), rows: self.rows.map(convert) }
    }
}

/// Numbers that stand for table rows; those below 0 are padding.
pub(super) fn indices<F: Real>(numbers: &[F]) -> Vec<usize> {
    numbers.iter().map(F::to_f64).filter(|&index| index >= 0.0).map(|index| index as usize).collect()
}

/// A stretch of a row's constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant {
    /// Name, such as `features`.
    pub name: &'static str,
    /// How many numbers.
    pub count: usize,
    /// What they are.
    pub form: Form,
}

/// What constants may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// Any numbers. A row of zeros makes an embedding of zeros.
    Features,
    /// Any numbers on the scale of the parameters, such as a frozen bias.
    Offset,
    /// Numbers of rows of a table.
    Index {
        /// Rows of that table.
        below: usize,
        /// Whether −1 may stand in place of a row (not in place of all).
        padding: bool,
    },
    /// A dropout mask: 0, or this number.
    Mask {
        /// 1/(1 − p).
        kept: f64,
    },
}

impl Constant {
    /// A stretch of constants.
    pub const fn new(name: &'static str, count: usize, form: Form) -> Self {
        Constant { name, count, form }
    }

    /// Features: any numbers.
    pub const fn features(count: usize) -> Self {
        Self::new("features", count, Form::Features)
    }

    /// Refuses values that are not of this form.
    pub(crate) fn validate(&self, at: &str, values: &[f64]) -> Result<()> {
        let wrong =
            |expected: String, found: String| Err(Error::input(format!("{at}: {}", self.name), expected, found));
        match self.form {
            Form::Features | Form::Offset => Ok(()),
            Form::Index { below, padding } => {
                let is_row = |x: f64| x.fract() == 0.0 && (0.0..below as f64).contains(&x);
                match values.iter().find(|&&x| !(is_row(x) || padding && x == -1.0)) {
                    Some(x) => {
                        wrong(format!("rows below {below}{}", if padding { ", or -1" } else { "" }), x.to_string())
                    }
                    None if values.iter().all(|&x| x == -1.0) => wrong("at least one row".into(), "none".into()),
                    None => Ok(()),
                }
            }
            Form::Mask { kept } => match values.iter().find(|&&x| x != 0.0 && x != kept) {
                Some(x) => wrong(format!("0 or {kept}"), x.to_string()),
                None => Ok(()),
            },
        }
    }

    /// Draws values: numbers from N(0, 1), rows evenly, masks that keep at least one number.
    pub(crate) fn draw(&self, random: &mut impl rand::Rng) -> Vec<f64> {
        let values = (0..self.count).map(|_| match self.form {
            Form::Features | Form::Offset => Distribution::<f64>::sample(&StandardNormal, random),
            Form::Index { below, .. } => random.random_range(0..below) as f64,
            Form::Mask { kept } if random.random::<f64>() * kept < 1.0 => kept,
            Form::Mask { .. } => 0.0,
        });
        let mut values: Vec<f64> = values.collect();
        if let (Form::Mask { kept }, Some(first)) = (self.form, values.first().copied())
            && first == 0.0
            && values.iter().all(|&x| x == 0.0)
        {
            values[0] = kept;
        }
        values
    }
}
