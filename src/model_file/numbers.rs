//! Numbers as little-endian bytes, in the types of safetensors files.

use safetensors::Dtype;

use crate::scalar::Scalar;

/// The type of a scalar.
pub(super) fn dtype<T: Scalar>() -> Dtype {
    if size_of::<T>() == 8 { Dtype::F64 } else { Dtype::F32 }
}

/// Numbers as bytes of their own type.
pub(super) fn to_bytes<T: Scalar>(values: &[T]) -> Vec<u8> {
    bytes_of(dtype::<T>(), &T::to_f64s(values))
}

/// Numbers as bytes of a type, f64 or f32.
pub(super) fn bytes_of(dtype: Dtype, values: &[f64]) -> Vec<u8> {
    match dtype {
        Dtype::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
    }
}

/// The numbers in bytes of a type; `None` if the type is not f64, f32, f16 or bf16.
pub(super) fn from_bytes<T: Scalar>(dtype: Dtype, bytes: &[u8]) -> Option<Vec<T>> {
    numbers(dtype, bytes).map(|values| T::from_f64s(&values))
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    Some(match dtype {
        Dtype::F64 => decoded(bytes, f64::from_le_bytes),
        Dtype::F32 => decoded(bytes, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F16 => decoded(bytes, |bytes| from_f16(u16::from_le_bytes(bytes))),
        Dtype::BF16 => decoded(bytes, |bytes| from_bf16(u16::from_le_bytes(bytes))),
        _ => return None,
    })
}

fn decoded<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}

/// The value of a half-precision number, exactly: 1 bit of sign, 5 of exponent, 10 of fraction.
fn from_f16(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match (exponent, fraction) {
        (0, _) => fraction * 2f64.powi(-24),
        (0x1f, 0.0) => f64::INFINITY,
        (0x1f, _) => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The value of a bfloat16 number, exactly: the upper half of an f32.
fn from_bf16(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of IEEE 754's binary16 and of bfloat16, by their definitions.
    #[test]
    fn half_precision_numbers_have_their_values() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x0001, 1.0 / 16_777_216.0),
            (0x03ff, 1023.0 / 16_777_216.0),
            (0x0400, 1.0 / 16_384.0),
            (0x3555, 1365.0 / 4096.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(from_f16(bits), value, "{bits:#06x}");
        }
        assert!(from_f16(0x7e00).is_nan() && from_bf16(0x7fc0).is_nan());
        assert!(from_f16(0x8000) == 0.0 && from_f16(0x8000).is_sign_negative());
        for (bits, value) in [(0x3f80, 1.0), (0xc040, -3.0), (0x4049, 3.140625)] {
            assert_eq!(from_bf16(bits), value, "{bits:#06x}");
        }
    }
}
