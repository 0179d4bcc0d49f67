//! Small pictures inside the page: PNG as `data:` addresses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

/// Colors of -1, 0 and 1, which color-blind people can distinguish.
const COLORS: [[f64; 3]; 3] = [[33.0, 102.0, 172.0], [247.0, 247.0, 247.0], [178.0, 24.0, 43.0]];

/// A picture of values between -1 and 1 (`rows x columns`, row by row), 0 is white.
pub(super) fn diverging(columns: usize, values: &[f64]) -> String {
    let pixels: Vec<u8> = values.iter().flat_map(|value| diverging_color(*value)).collect();
    address(columns, ColorType::Rgb, &pixels)
}

fn diverging_color(value: f64) -> [u8; 3] {
    let far = COLORS[if value < 0.0 { 0 } else { 2 }];
    let share = value.abs().min(1.0);
    [0, 1, 2].map(|i| (COLORS[1][i] + share * (far[i] - COLORS[1][i])).round() as u8)
}

/// A picture of values between 0 and 1 (row by row): black on white.
pub(super) fn ink(columns: usize, values: &[f64]) -> String {
    let pixels: Vec<u8> =
        values.iter().map(|value| 255 - (255.0 * value.clamp(0.0, 1.0)).round() as u8).collect();
    address(columns, ColorType::Grayscale, &pixels)
}

/// A PNG file with 8 bits a channel, as a `data:` address.
fn address(columns: usize, color: ColorType, pixels: &[u8]) -> String {
    // Writing into memory does not fail, and every picture has as many pixels as its size says.
    let file = encode(columns, color, pixels).unwrap_or_default();
    format!("data:image/png;base64,{}", STANDARD.encode(file))
}

fn encode(columns: usize, color: ColorType, pixels: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let rows = pixels.len() / (columns * color.samples());
    let mut encoder = Encoder::new(&mut file, columns as u32, rows as u32);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    encoder.set_filter(Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// Values near -1, 0 and 1 are read back as the colors of the scale.
    #[test]
    fn a_picture_is_read_back() {
        let address = super::diverging(3, &[-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        let file =
            STANDARD.decode(address.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (3, 2, png::ColorType::Rgb));
        assert_eq!(pixels[..9], [33, 102, 172, 247, 247, 247, 178, 24, 43]);
    }
}
