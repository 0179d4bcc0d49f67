//! Parquet files, where the program was built with the feature `parquet`.

#[cfg(feature = "parquet")]
pub(crate) use with::{encode, read_frame};
#[cfg(not(feature = "parquet"))]
pub(crate) use without::{encode, read_frame};

#[cfg(feature = "parquet")]
mod with {
    use std::path::Path;

    use travertine::data::{self, CsvOptions, Encoded, Encoder, Frame};
    use travertine::{Result, Scalar};

    pub(crate) fn read_frame<T: Scalar>(path: &Path, options: &CsvOptions) -> Result<Frame<T>> {
        data::read_parquet(path, options)
    }

    pub(crate) fn encode<T: Scalar>(
        encoder: &Encoder,
        path: &Path,
        options: &CsvOptions,
    ) -> Result<Encoded<T>> {
        encoder.read_parquet(path, options)
    }
}

#[cfg(not(feature = "parquet"))]
mod without {
    use std::path::Path;

    use travertine::data::{CsvOptions, Encoded, Encoder, Frame};
    use travertine::{Error, Result, Scalar};

    use crate::message::wrong;

    fn refused(path: &Path) -> Error {
        let cure = "build it with cargo build --release --features parquet";
        wrong("DATA", format!("{}: this program was built without Parquet; {cure}", path.display()))
    }

    pub(crate) fn read_frame<T: Scalar>(path: &Path, _options: &CsvOptions) -> Result<Frame<T>> {
        Err(refused(path))
    }

    pub(crate) fn encode<T: Scalar>(
        _encoder: &Encoder,
        path: &Path,
        _options: &CsvOptions,
    ) -> Result<Encoded<T>> {
        Err(refused(path))
    }
}
