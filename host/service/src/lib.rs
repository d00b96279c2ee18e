//! Composes the others: loads a deployment, checks it, runs its pipelines.
