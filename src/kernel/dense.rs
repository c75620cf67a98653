//! Dense towers: h₀ = x, h_l = σ(W_l·h_{l−1} + b_l), and the embedding is the last pre-activation. A batch of rows goes forward
//! with one product a layer and back with two. The bias is the weight of an input that is always 1.

use super::element::Element;
use super::product::View;
use super::rule::{Mover, Optimizer, State};
use super::simd::{self, Task};
use crate::encoder::activation::Activation;

/// A network shared by all rows of a tower. Without hidden layers it is an affine map.
pub(super) struct Dense<E> {
    /// Length of x.
    width: usize,
    /// x of every row: `[N, width]`.
    features: Vec<E>,
    layers: Vec<Layer<E>>,
    activation: Activation,
    bias: bool,
    optimizer: Optimizer,
    /// The batch that went forward last.
    pass: Pass<E>,
}

/// What the layers made of a batch.
#[derive(Default)]
struct Pass<E> {
    rows: usize,
    /// Of each layer what it saw `[rows, inputs]`, and its pre-activation `[rows, outputs]`.
    layers: Vec<(Vec<E>, Vec<E>)>,
}

/// W, and what its optimizer remembers.
struct Layer<E> {
    outputs: usize,
    /// Inputs, the constant 1 for the bias among them.
    inputs: usize,
    /// `[outputs, inputs]`.
    weights: Vec<E>,
    gradient: Vec<E>,
    state: State<E>,
}

/// σ(x) and σ'(x), in f64.
fn value_and_slope(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::Relu => (x.max(0.0), f64::from(u8::from(x > 0.0))),
        Activation::Tanh => {
            let t = x.tanh();
            (t, (1.0 - t) * (1.0 + t))
        }
        // x·(1 + tanh y)/2 with y = √(2/π)·(x + 0.044715·x³).
        Activation::Gelu => {
            let scale = std::f64::consts::FRAC_2_PI.sqrt();
            let t = (scale * x * (1.0 + 0.044715 * x * x)).tanh();
            let speed = scale * (1.0 + 3.0 * 0.044715 * x * x);
            ((x * (1.0 + t)) / 2.0, (1.0 + t) / 2.0 + x / 2.0 * (1.0 - t) * (1.0 + t) * speed)
        }
    }
}

impl<E: Element> Dense<E> {
    /// `features`: `[N, width]`; `weights`: of each layer `[outputs, inputs]`, its bias last where it has one.
    pub(super) fn new(
        width: usize,
        features: Vec<E>,
        weights: Vec<Vec<E>>,
        activation: Activation,
        bias: bool,
        optimizer: Optimizer,
    ) -> Self {
        let mut below = width;
        let layers = weights.into_iter().map(|weights| {
            let inputs = below + usize::from(bias);
            let outputs = weights.len() / inputs;
            below = outputs;
            Layer {
                outputs,
                inputs,
                gradient: vec![E::ZERO; weights.len()],
                state: State::new(&optimizer, outputs, inputs),
                weights,
            }
        });
        Dense { width, features, layers: layers.collect(), activation, bias, optimizer, pass: Pass::default() }
    }

    fn pass(&self, rows: &[usize]) -> Pass<E> {
        let row = |&row: &usize| &self.features[row * self.width..(row + 1) * self.width];
        let mut below: Vec<E> = rows.iter().flat_map(row).copied().collect();
        let mut pass = Pass { rows: rows.len(), layers: Vec::new() };
        for layer in &self.layers {
            let mut input = Vec::with_capacity(rows.len() * layer.inputs);
            for h in below.chunks_exact(layer.inputs - usize::from(self.bias)) {
                input.extend_from_slice(h);
                input.extend(self.bias.then_some(E::ONE));
            }
            let mut pre = vec![E::ZERO; rows.len() * layer.outputs];
            // preᵀ = W·inputᵀ: [out, in]·[in, rows].
            E::product(
                &mut pre,
                false,
                View::by_rows(&layer.weights, layer.outputs, layer.inputs),
                View::by_columns(&input, layer.inputs, rows.len()),
                E::ONE,
            );
            below = pre.iter().map(|x| E::from_f64(value_and_slope(self.activation, x.to_f64()).0)).collect();
            pass.layers.push((input, pre));
        }
        pass
    }

    /// The embeddings of some rows: `[rows, d]`.
    pub(super) fn embeddings(&self, rows: &[usize]) -> Vec<E> {
        self.pass(rows).layers.pop().map(|(_, embeddings)| embeddings).unwrap_or_default()
    }

    /// The embeddings of a batch of rows `[rows, d]`, which [`Dense::backward`] goes back from.
    pub(super) fn forward(&mut self, rows: &[usize]) -> &[E] {
        self.pass = self.pass(rows);
        self.pass.layers.last().map_or(&[][..], |(_, embeddings)| &embeddings[..])
    }

    /// The gradients of all weights, from that of the embeddings of the rows that went forward last: `[rows, d]`.
    pub(super) fn backward(&mut self, upstream: Vec<E>) {
        let Dense { layers, pass, activation, bias, .. } = self;
        let mut g = upstream;
        for (index, layer) in layers.iter_mut().enumerate().rev() {
            // Gᵀ = inputᵀ·g: [in, rows]·[rows, out].
            E::product(
                &mut layer.gradient,
                false,
                View::by_columns(&pass.layers[index].0, layer.inputs, pass.rows),
                View::by_rows(&g, pass.rows, layer.outputs),
                E::ONE,
            );
            if index == 0 {
                break;
            }
            // belowᵀ = Wᵀ·gᵀ: [in, out]·[out, rows].
            let mut below = vec![E::ZERO; pass.rows * layer.inputs];
            E::product(
                &mut below,
                false,
                View::by_columns(&layer.weights, layer.inputs, layer.outputs),
                View::by_columns(&g, layer.outputs, pass.rows),
                E::ONE,
            );
            let own = layer.inputs - usize::from(*bias);
            g = below
                .chunks_exact(layer.inputs)
                .flat_map(|row| &row[..own])
                .zip(&pass.layers[index - 1].1)
                .map(|(&g, x)| g * E::from_f64(value_and_slope(*activation, x.to_f64()).1))
                .collect();
        }
    }

    /// Moves the weights by their gradients. `time` counts steps from 0, `rate` is η.
    pub(super) fn apply(&mut self, time: u64, rate: f64) {
        let mover = Mover::new(&self.optimizer, time, rate);
        for layer in &mut self.layers {
            simd::run(Move { layer, mover: &mover });
        }
    }

    /// The weights of each layer with their gradients: `[outputs, inputs]`.
    pub(super) fn layers(&self) -> impl Iterator<Item = (&[E], &[E])> {
        self.layers.iter().map(|layer| (&layer.weights[..], &layer.gradient[..]))
    }

    /// All that the next step starts from, to be read or set: what it is called, its width, and the numbers `[rows, width]`.
    pub(super) fn state(&mut self, mut see: impl FnMut(&str, usize, &mut [E])) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let name = |what: &str| format!("layer{}{what}", index + 1);
            see(&name(""), layer.inputs, &mut layer.weights);
            for (what, width, values) in [
                ("/first", layer.state.first_width, &mut layer.state.first),
                ("/second", layer.state.second_width, &mut layer.state.second),
            ] {
                if width > 0 {
                    see(&name(what), width, values);
                }
            }
        }
    }
}

struct Move<'a, E> {
    layer: &'a mut Layer<E>,
    mover: &'a Mover<E>,
}

impl<E: Element> Task for Move<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Layer { outputs, inputs, weights, gradient, state } = self.layer;
        let (first, second) = (state.first_width, state.second_width);
        let mut used = vec![E::ZERO; *inputs];
        for unit in 0..*outputs {
            let own = unit * *inputs..(unit + 1) * *inputs;
            used.copy_from_slice(&gradient[own.clone()]);
            self.mover.apply::<FMA>(
                &mut weights[own],
                &mut used,
                &mut state.first[unit * first..(unit + 1) * first],
                &mut state.second[unit * second..(unit + 1) * second],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::Rule;
    use super::*;
    use crate::number::Dual;
    use crate::trajectory::Rows;

    /// Small whole numbers, so that every sum is exact in both number types.
    fn whole(seed: usize, count: usize) -> Vec<i64> {
        (0..count).map(|k| (((seed + 7) * (k + 3) * 2_654_435_761) >> 7) as i64 % 4 - 1).collect()
    }

    fn exactly<E: Element>(values: &[i64]) -> Vec<E> {
        values.iter().map(|&x| E::from_f64(x as f64)).collect()
    }

    /// One layer of whole numbers: W·(h, 1) for every row.
    fn plain(weights: &[i64], below: &[Vec<i64>]) -> Vec<Vec<i64>> {
        let inputs = below[0].len();
        let unit = |weights: &[i64], h: &[i64]| -> i64 { weights.iter().zip(h).map(|(w, h)| w * h).sum() };
        below.iter().map(|h| weights.chunks(inputs).map(|own| unit(own, h)).collect()).collect()
    }

    fn compare<E: Element>(sizes: &[usize], bias: bool, batch: &[usize]) {
        let n = 5;
        let features = whole(1, n * sizes[0]);
        let extra = usize::from(bias);
        let weights: Vec<Vec<i64>> =
            sizes.windows(2).enumerate().map(|(l, size)| whole(l + 2, size[1] * (size[0] + extra))).collect();
        let optimizer = Optimizer { rule: Rule::Sgd, decay: None, rows: Rows::Dense };
        let own = weights.iter().map(|weights| exactly(weights)).collect();
        let mut network = Dense::<E>::new(sizes[0], exactly(&features), own, Activation::Relu, bias, optimizer);

        // The same in whole numbers, row by row.
        let with_bias = |mut h: Vec<i64>| {
            h.extend(bias.then_some(1));
            h
        };
        let mut inputs = Vec::new();
        let mut pres: Vec<Vec<Vec<i64>>> = Vec::new();
        let mut below: Vec<Vec<i64>> =
            batch.iter().map(|&row| features[row * sizes[0]..(row + 1) * sizes[0]].to_vec()).collect();
        for weights in &weights {
            let input: Vec<_> = below.into_iter().map(with_bias).collect();
            let pre = plain(weights, &input);
            below = pre.iter().map(|pre| pre.iter().map(|&x| x.max(0)).collect()).collect();
            inputs.push(input);
            pres.push(pre);
        }
        let expected: Vec<i64> = pres.last().unwrap().concat();
        assert_eq!(network.forward(batch), exactly::<E>(&expected));
        assert_eq!(network.embeddings(batch), exactly::<E>(&expected));

        let upstream = whole(9, expected.len());
        network.backward(exactly(&upstream));
        let mut g: Vec<Vec<i64>> = upstream.chunks(*sizes.last().unwrap()).map(<[i64]>::to_vec).collect();
        let mut gradients = Vec::new();
        for (l, weights) in weights.iter().enumerate().rev() {
            let width = sizes[l] + extra;
            let mut gradient = vec![0; weights.len()];
            let mut under = vec![vec![0; sizes[l]]; batch.len()];
            for (row, g) in g.iter().enumerate() {
                for (unit, g) in g.iter().enumerate() {
                    for k in 0..width {
                        gradient[unit * width + k] += g * inputs[l][row][k];
                    }
                    for k in 0..sizes[l] {
                        under[row][k] += g * weights[unit * width + k];
                    }
                }
            }
            if l > 0 {
                for (under, pre) in under.iter_mut().zip(&pres[l - 1]) {
                    under.iter_mut().zip(pre).for_each(|(g, &x)| *g *= i64::from(x > 0));
                }
            }
            gradients.insert(0, gradient);
            g = under;
        }
        for ((_, found), expected) in network.layers().zip(&gradients) {
            assert_eq!(found, exactly::<E>(expected));
        }
        // A rate of one half is exact as well.
        network.apply(0, 0.5);
        for (((found, _), gradient), weights) in network.layers().zip(&gradients).zip(&weights) {
            let moved = weights.iter().zip(gradient).map(|(w, g)| E::from_f64(*w as f64 - *g as f64 / 2.0));
            assert_eq!(found, moved.collect::<Vec<_>>());
        }
    }

    #[test]
    fn networks_of_whole_numbers_go_forward_and_back_exactly() {
        for sizes in [&[3, 2][..], &[1, 1], &[4, 17, 3], &[5, 33, 18, 2], &[16, 16, 16]] {
            for bias in [false, true] {
                for batch in [&[0][..], &[4, 1], &[0, 1, 2, 3, 4]] {
                    compare::<f64>(sizes, bias, batch);
                    compare::<f32>(sizes, bias, batch);
                }
            }
        }
    }

    #[test]
    fn activations_have_their_own_slopes() {
        for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh] {
            for n in -64..=64 {
                let x = f64::from(n) / 8.0;
                let (value, slope) = value_and_slope(activation, x);
                let dual = activation.apply(&[Dual::variable(x, 1.0)])[0].derivative();
                // A dozen operations on numbers that are at most x·speed < 8·(1 + 0.14·64).
                let allowed = 12.0 * 80.0 * f64::EPSILON;
                approx::assert_abs_diff_eq!(slope, dual, epsilon = allowed);
                approx::assert_abs_diff_eq!(value, activation.apply(&[x])[0], epsilon = allowed);
            }
        }
    }
}
