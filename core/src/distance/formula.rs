//! What each metric computes, as constants that kernels are compiled for.

/// A distance is a sum over the components of two rows, and a last step on the sum.
pub(super) trait Formula: 'static {
    /// Whether the sum is of squared differences; else it is of products.
    const DIFFERENCES: bool;
    /// A sum of products is subtracted from this to give the distance. A sum of squared differences is the distance.
    const BASE: f32;
}

/// Squared Euclidean distance.
pub(super) struct L2;

/// The negated inner product.
pub(super) struct InnerProduct;

/// One minus the cosine, for rows of unit length.
pub(super) struct Cosine;

impl Formula for L2 {
    const DIFFERENCES: bool = true;
    const BASE: f32 = 0.0;
}

impl Formula for InnerProduct {
    const DIFFERENCES: bool = false;
    const BASE: f32 = 0.0;
}

impl Formula for Cosine {
    const DIFFERENCES: bool = false;
    const BASE: f32 = 1.0;
}
