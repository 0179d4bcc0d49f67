//! Small pictures inside the page: PNG as `data:` addresses.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// Negative, none, positive: colors that the color-blind tell apart, too.
const COLORS: [[f64; 3]; 3] = [[33.0, 102.0, 172.0], [247.0, 247.0, 247.0], [178.0, 24.0, 43.0]];

/// A picture of values between -1 and 1 (`rows x columns`, row by row), 0 being white.
pub(super) fn diverging(columns: usize, values: &[f64]) -> String {
    let pixels: Vec<u8> = values.iter().flat_map(|value| diverging_color(*value)).collect();
    png(columns, 3, &pixels)
}

fn diverging_color(value: f64) -> [u8; 3] {
    let far = COLORS[if value < 0.0 { 0 } else { 2 }];
    let share = value.abs().min(1.0);
    [0, 1, 2].map(|i| (COLORS[1][i] + share * (far[i] - COLORS[1][i])).round() as u8)
}

/// A picture of values between 0 and 1 (row by row): ink on paper.
pub(super) fn ink(columns: usize, values: &[f64]) -> String {
    let pixels: Vec<u8> =
        values.iter().map(|value| 255 - (255.0 * value.clamp(0.0, 1.0)).round() as u8).collect();
    png(columns, 1, &pixels)
}

/// <https://www.w3.org/TR/png-3/>, with 8 bits a channel and rows that are not filtered.
fn png(width: usize, channels: usize, pixels: &[u8]) -> String {
    let height = pixels.len() / (width * channels);
    let size = [width as u32, height as u32].map(u32::to_be_bytes).concat();
    let color_type = if channels == 3 { 2 } else { 0 };
    let rows: Vec<u8> =
        pixels.chunks(width * channels).flat_map(|row| [&[0], row].concat()).collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing into a vector does not fail.
    let packed = encoder.write_all(&rows).and_then(|()| encoder.finish()).unwrap_or_default();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(b"IHDR", &[&size[..], &[8, color_type, 0, 0, 0]].concat(), &mut file);
    chunk(b"IDAT", &packed, &mut file);
    chunk(b"IEND", &[], &mut file);
    format!("data:image/png;base64,{}", base64(&file))
}

fn chunk(kind: &[u8; 4], content: &[u8], file: &mut Vec<u8>) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(content);
    file.extend((content.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(content);
    file.extend(crc.sum().to_be_bytes());
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let bits =
            (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(bytes.get(i).copied().unwrap_or(0)));
        let digit = |i: usize| char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]);
        (0..4).map(|i| if i <= bytes.len() { digit(i) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[cfg(test)]
mod tests {
    /// RFC 4648, section 10.
    #[test]
    fn published_examples() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in pairs {
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
    }
}
