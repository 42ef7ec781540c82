//! The machine against a world of instances: every interleaving for few
//! instances (`explored`), every failure and every end at every point for up to
//! twelve (`swept`), random ones for many (`random`).

mod explored;
mod random;
mod swept;
mod world;
