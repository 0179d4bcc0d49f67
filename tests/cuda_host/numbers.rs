//! Numbers as cuBLASLt stores them.

/// Bytes of a number of a cudaDataType.
pub fn width(kind: u64) -> usize {
    match kind {
        0 => 4,
        1 => 8,
        2 | 14 => 2,
        _ => 0,
    }
}

fn f16_to_f64(bits: u16) -> f64 {
    let (sign, exponent, mantissa) = (bits >> 15, bits >> 10 & 31, f64::from(bits & 1023));
    let value = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + mantissa / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    };
    if sign == 1 { -value } else { value }
}

/// Rounds to the nearest, ties to even.
fn f64_to_f16(x: f64) -> u16 {
    let sign = u16::from(x.is_sign_negative()) << 15;
    let x = x.abs();
    if x.is_nan() {
        return 0x7fff;
    }
    if x >= 65_520.0 {
        return sign | 0x7c00;
    }
    if x < 2f64.powi(-14) {
        return sign | (x * 2f64.powi(24)).round_ties_even() as u16;
    }
    let exponent = ((x.to_bits() >> 52) as i32) - 1023;
    let mantissa = ((x / 2f64.powi(exponent) - 1.0) * 1024.0).round_ties_even() as u16;
    sign | (((exponent + 15) as u16) << 10) + mantissa
}

fn f64_to_bf16(x: f64) -> u16 {
    let bits = (x as f32).to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

pub unsafe fn load(kind: u64, base: u64, at: usize) -> f64 {
    unsafe {
        match kind {
            0 => f64::from(*(base as *const f32).add(at)),
            1 => *(base as *const f64).add(at),
            2 => f16_to_f64(*(base as *const u16).add(at)),
            _ => f64::from(f32::from_bits(u32::from(*(base as *const u16).add(at)) << 16)),
        }
    }
}

pub unsafe fn store(kind: u64, base: u64, at: usize, x: f64) {
    unsafe {
        match kind {
            0 => *(base as *mut f32).add(at) = x as f32,
            1 => *(base as *mut f64).add(at) = x,
            2 => *(base as *mut u16).add(at) = f64_to_f16(x),
            _ => *(base as *mut u16).add(at) = f64_to_bf16(x),
        }
    }
}
