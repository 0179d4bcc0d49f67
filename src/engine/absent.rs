//! Engines that this build leaves out. They are listed with the feature that adds them, and cannot be opened.

use std::sync::Arc;

use super::{Device, Engine, Missing, unavailable};
use crate::error::Result;
use crate::scalar::Scalar;

fn missing(feature: &str) -> Missing {
    Missing {
        reason: "this build leaves it out".to_owned(),
        cure: format!("build with the feature `{feature}`"),
    }
}

fn probe(feature: &str, description: &str) -> Vec<Device> {
    vec![Device {
        name: feature.to_owned(),
        description: description.to_owned(),
        missing: Some(missing(feature)),
        ..Device::default()
    }]
}

fn open<T: Scalar>(feature: &str) -> Result<Arc<dyn Engine<T>>> {
    let Missing { reason, cure } = missing(feature);
    Err(unavailable(feature, reason, cure))
}

#[cfg(not(feature = "cuda"))]
pub(super) mod cuda {
    use std::sync::Arc;

    use crate::engine::{Device, Engine, Settings};
    use crate::{Result, Scalar};

    pub fn probe() -> Vec<Device> {
        super::probe("cuda", "CUDA")
    }

    pub fn open<T: Scalar>(_device: &str, _settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
        super::open("cuda")
    }
}

#[cfg(not(feature = "opencl"))]
pub(super) mod opencl {
    use std::sync::Arc;

    use crate::engine::{Device, Engine, Settings};
    use crate::{Result, Scalar};

    pub fn probe() -> Vec<Device> {
        super::probe("opencl", "OpenCL")
    }

    pub fn drivers() -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    pub fn open<T: Scalar>(_device: &str, _settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
        super::open("opencl")
    }
}
