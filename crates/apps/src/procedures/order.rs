//! One change order, of whichever kind.

use backout_core::ids::OrderId;
use serde::{Deserialize, Serialize};

/// The name of the procedure.
pub const NAME: &str = "apps.order";

/// What it is told. All else is in the order's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderInput {
    /// The order.
    pub order: OrderId,
}
