//! Typed requests and responses of the served families, made from the
//! contract. A request is read from the validated parameters of a
//! [`crate::Call`]; a response is handed to [`crate::encode_success`].

/// Tencent Lighthouse, API version 2020-03-24.
pub mod lighthouse {
    pub use crate::generated::lighthouse_types::*;
}

/// Tencent CDB, API version 2017-03-20.
pub mod cdb {
    pub use crate::generated::cdb_types::*;
}

/// Tencent Data Lake Compute, API version 2021-01-25.
pub mod dlc {
    pub use crate::generated::dlc_types::*;
}

/// Alibaba Serverless App Engine, API version 2019-05-06.
pub mod sae {
    pub use crate::generated::sae_types::*;
}
