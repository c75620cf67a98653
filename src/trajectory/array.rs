//! Arrays as they are stored: an element type, a shape and little-endian bytes, owned or a range of a memory map.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::slice::HalfFloatSliceExt;

use crate::rounding::Precision;

/// The element type of a stored array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
}

impl Element {
    /// Every element type.
    pub const ALL: [Element; 6] = [Element::F64, Element::F32, Element::F16, Element::Bf16, Element::I64, Element::I32];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Element::F64 | Element::I64 => 8,
            Element::F32 | Element::I32 => 4,
            Element::F16 | Element::Bf16 => 2,
        }
    }

    /// The name in a safetensors header.
    pub const fn name(self) -> &'static str {
        match self {
            Element::F64 => "F64",
            Element::F32 => "F32",
            Element::F16 => "F16",
            Element::Bf16 => "BF16",
            Element::I64 => "I64",
            Element::I32 => "I32",
        }
    }

    /// The element type of that name in a safetensors header.
    pub fn parse(name: &str) -> Option<Element> {
        Element::ALL.into_iter().find(|element| element.name() == name)
    }

    /// The floating-point format, `None` for integers.
    pub const fn precision(self) -> Option<Precision> {
        match self {
            Element::F64 => Some(Precision::F64),
            Element::F32 => Some(Precision::F32),
            Element::F16 => Some(Precision::F16),
            Element::Bf16 => Some(Precision::Bf16),
            Element::I64 | Element::I32 => None,
        }
    }

    /// Whether elements are integers.
    pub const fn is_integer(self) -> bool {
        self.precision().is_none()
    }

    /// How many bytes an array of that shape has. `None` where that or a product of some of its axes is beyond what can be
    /// addressed, which an axis of length zero would hide.
    pub(crate) fn bytes_of(self, shape: &[u64]) -> Option<u64> {
        let at_least_one =
            shape.iter().try_fold(self.size() as u64, |bytes, axis| bytes.checked_mul((*axis).max(1)))?;
        match (isize::try_from(at_least_one), shape.contains(&0)) {
            (Err(_), _) => None,
            (Ok(_), true) => Some(0),
            (Ok(_), false) => Some(at_least_one),
        }
    }

    /// Appends `values`, each rounded once to nearest (floating point) or truncated and saturated (integers).
    pub(crate) fn encode(self, values: &[f64], out: &mut Vec<u8>) {
        out.reserve(values.len() * self.size());
        match self {
            Element::F64 => values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
            Element::F32 => values.iter().for_each(|v| out.extend_from_slice(&(*v as f32).to_le_bytes())),
            Element::F16 => values.iter().for_each(|v| out.extend_from_slice(&half::f16::from_f64(*v).to_le_bytes())),
            Element::Bf16 => values.iter().for_each(|v| out.extend_from_slice(&half::bf16::from_f64(*v).to_le_bytes())),
            Element::I64 => values.iter().for_each(|v| out.extend_from_slice(&(*v as i64).to_le_bytes())),
            Element::I32 => values.iter().for_each(|v| out.extend_from_slice(&(*v as i32).to_le_bytes())),
        }
    }
}

impl From<Precision> for Element {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F64 => Element::F64,
            Precision::F32 => Element::F32,
            Precision::F16 => Element::F16,
            Precision::Bf16 => Element::Bf16,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[derive(Clone)]
enum Bytes {
    Owned(Arc<Vec<u8>>),
    Mapped(Arc<memmap2::Mmap>, Range<usize>),
}

/// A stored array. Cloning shares the bytes.
///
/// ```
/// use perpend::trajectory::Array;
/// let array = Array::from_f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// let mut row = [0.0; 3];
/// array.read(3, &mut row);
/// assert_eq!(row, [4.0, 5.0, 6.0]);
/// ```
#[derive(Clone)]
pub struct Array {
    element: Element,
    shape: Arc<[usize]>,
    bytes: Bytes,
}

impl Array {
    /// An array of f64.
    ///
    /// # Panics
    /// When the product of `shape` is not the number of values. The same holds for the other constructors.
    pub fn from_f64(shape: &[usize], values: &[f64]) -> Array {
        Array::encode(Element::F64, shape, values)
    }

    /// An array of f32.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Array {
        Array::owned(Element::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// An array of 64-bit integers.
    pub fn from_i64(shape: &[usize], values: &[i64]) -> Array {
        Array::owned(Element::I64, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// An array of 32-bit integers.
    pub fn from_i32(shape: &[usize], values: &[i32]) -> Array {
        Array::owned(Element::I32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// An array of any element type; each value is rounded once, to nearest.
    ///
    /// ```
    /// use perpend::trajectory::{Array, Element};
    /// let array = Array::encode(Element::Bf16, &[1], &[1.0 + 1.0 / 512.0]);
    /// let mut value = [0.0];
    /// array.read(0, &mut value);
    /// assert_eq!(value, [1.0]);
    /// ```
    pub fn encode(element: Element, shape: &[usize], values: &[f64]) -> Array {
        let mut bytes = Vec::new();
        element.encode(values, &mut bytes);
        Array::owned(element, shape, bytes)
    }

    /// Bytes in memory, as many as the shape says.
    pub(crate) fn owned(element: Element, shape: &[usize], bytes: Vec<u8>) -> Array {
        let count: usize = shape.iter().product();
        assert_eq!(count * element.size(), bytes.len(), "shape {shape:?} does not fit the number of values");
        Array { element, shape: shape.into(), bytes: Bytes::Owned(Arc::new(bytes)) }
    }

    /// A range of a memory map, of a shape that was stated somewhere. `Err` says what that shape would need.
    pub(crate) fn mapped(
        element: Element,
        shape: &[u64],
        map: &Arc<memmap2::Mmap>,
        range: Range<usize>,
    ) -> Result<Array, String> {
        if element.bytes_of(shape) != Some(range.len() as u64) {
            return Err(format!("as many bytes as {element} {shape:?} has"));
        }
        let shape = shape.iter().map(|axis| *axis as usize).collect();
        Ok(Array { element, shape, bytes: Bytes::Mapped(map.clone(), range) })
    }

    /// The length of every axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stored bytes: row-major, little endian.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(map, range) => &map[range.clone()],
        }
    }

    /// The values, where they are stored as this machine's f32 at a place that can be read as such.
    pub(crate) fn as_f32(&self) -> Option<&[f32]> {
        self.native(Element::F32)
    }

    /// The values, where they are stored as this machine's f64 at a place that can be read as such.
    pub(crate) fn as_f64(&self) -> Option<&[f64]> {
        self.native(Element::F64)
    }

    fn native<T: bytemuck::Pod>(&self, element: Element) -> Option<&[T]> {
        let fits = self.element == element && cfg!(target_endian = "little");
        bytemuck::try_cast_slice(self.as_bytes()).ok().filter(|_| fits)
    }

    fn slice(&self, start: usize, count: usize) -> &[u8] {
        let size = self.element.size();
        &self.as_bytes()[start * size..(start + count) * size]
    }

    /// Decodes `out.len()` elements from flat index `start` on. Every format is exact in f64, except 64-bit integers beyond 2⁵³.
    ///
    /// # Panics
    /// When the range does not lie inside the array.
    pub fn read(&self, start: usize, out: &mut [f64]) {
        let bytes = self.slice(start, out.len());
        // Owned bytes need not be aligned, and a foreign map may be aligned badly: casting is the fast path only.
        #[cfg(target_endian = "little")]
        match self.element {
            Element::F64 => {
                if let Ok(values) = bytemuck::try_cast_slice::<u8, f64>(bytes) {
                    return out.copy_from_slice(values);
                }
            }
            Element::F32 => {
                if let Ok(values) = bytemuck::try_cast_slice::<u8, f32>(bytes) {
                    return out.iter_mut().zip(values).for_each(|(out, value)| *out = f64::from(*value));
                }
            }
            Element::F16 => {
                if let Ok(values) = bytemuck::try_cast_slice::<u8, half::f16>(bytes) {
                    return values.convert_to_f64_slice(out);
                }
            }
            Element::Bf16 | Element::I64 | Element::I32 => {}
        }
        fn each<const N: usize>(bytes: &[u8], out: &mut [f64], decode: impl Fn([u8; N]) -> f64) {
            for (out, chunk) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
                *out = decode(*chunk);
            }
        }
        match self.element {
            Element::F64 => each(bytes, out, f64::from_le_bytes),
            Element::F32 => each(bytes, out, |b| f64::from(f32::from_le_bytes(b))),
            Element::F16 => each(bytes, out, |b| half::f16::from_le_bytes(b).to_f64()),
            Element::Bf16 => each(bytes, out, |b| half::bf16::from_le_bytes(b).to_f64()),
            Element::I64 => each(bytes, out, |b| i64::from_le_bytes(b) as f64),
            Element::I32 => each(bytes, out, |b| f64::from(i32::from_le_bytes(b))),
        }
    }

    /// The integer at a flat index; a floating-point element is truncated towards zero.
    ///
    /// # Panics
    /// When the index does not lie inside the array.
    pub fn integer(&self, index: usize) -> i64 {
        let bytes = self.slice(index, 1);
        match (self.element, bytes) {
            (Element::I64, &[a, b, c, d, e, f, g, h]) => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            (Element::I32, &[a, b, c, d]) => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => self.value(index) as i64,
        }
    }

    /// The element at a flat index.
    ///
    /// # Panics
    /// When the index does not lie inside the array.
    pub fn value(&self, index: usize) -> f64 {
        let mut value = [0.0];
        self.read(index, &mut value);
        value[0]
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.element, self.shape)
    }
}

impl PartialEq for Array {
    /// Same element type, shape and bytes (so NaN equals itself and 0 differs from −0).
    fn eq(&self, other: &Self) -> bool {
        self.element == other.element && self.shape == other.shape && self.as_bytes() == other.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_type_is_read_exactly_at_any_alignment() {
        let values = [0.0, -0.0, 1.0, -1.5, 0.15625, 2.0_f64.powi(-14), 65504.0 - 32.0, 2.0_f64.powi(-24)];
        for element in [Element::F64, Element::F32, Element::F16, Element::Bf16] {
            let array = Array::encode(element, &[2, 4], &values);
            let mut exact = [0.0; 8];
            array.read(0, &mut exact);
            for (index, value) in values.iter().enumerate() {
                if element != Element::Bf16 {
                    assert_eq!(exact[index], *value, "{element}");
                }
                assert_eq!(array.value(index), exact[index]);
            }
            // The same bytes one byte further on: no cast is possible.
            let mut shifted = vec![0];
            shifted.extend_from_slice(array.as_bytes());
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &shifted).unwrap();
            // SAFETY: the file is private to this test and not written again.
            let map = unsafe { memmap2::Mmap::map(file.as_file()).unwrap() };
            let mapped = Array::mapped(element, &[2, 4], &Arc::new(map), 1..shifted.len()).unwrap();
            let mut read = [0.0; 8];
            mapped.read(0, &mut read);
            assert_eq!(read, exact);
            assert_eq!(mapped, array);
        }
    }

    #[test]
    fn sizes_beyond_what_can_be_addressed_are_none() {
        assert_eq!(Element::F32.bytes_of(&[2, 3]), Some(24));
        assert_eq!(Element::F32.bytes_of(&[]), Some(4));
        assert_eq!(Element::F32.bytes_of(&[2, 0]), Some(0));
        for huge in [vec![1 << 62, 4], vec![u64::MAX], vec![0, 1 << 40, 1 << 40], vec![1 << 40, 1 << 40, 0]] {
            assert_eq!(Element::F32.bytes_of(&huge), None, "{huge:?}");
        }
    }

    #[test]
    fn integers_keep_all_their_bits() {
        let array = Array::from_i64(&[3], &[i64::MAX, i64::MIN, -1]);
        assert_eq!([array.integer(0), array.integer(1), array.integer(2)], [i64::MAX, i64::MIN, -1]);
        let array = Array::from_i32(&[2], &[i32::MIN, 7]);
        assert_eq!([array.integer(0), array.integer(1)], [i64::from(i32::MIN), 7]);
        assert_eq!(Array::from_f64(&[1], &[2.5]).integer(0), 2);
    }

    #[test]
    fn names_round_trip() {
        for element in Element::ALL {
            assert_eq!(Element::parse(element.name()), Some(element));
            assert_eq!(element.precision().map(Element::from), (!element.is_integer()).then_some(element));
        }
        assert_eq!(Element::parse("U8"), None);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_wrong_number_of_values_panics() {
        Array::from_f64(&[2, 2], &[1.0]);
    }
}
