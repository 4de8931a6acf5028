//! Whose data a question is about. Every query of the store takes a [`TenantScope`], so that
//! forgetting it does not compile. Never looks anything up: the store makes scopes.

/// The tenant whose facts may be seen and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantScope {
    id: i64,
}

impl TenantScope {
    /// The name of the one tenant that a new hub begins with.
    pub const DEFAULT_NAME: &str = "default";

    /// Only the store calls this, with a key that it has read from its own table.
    pub(crate) const fn of_key(id: i64) -> Self {
        Self { id }
    }

    /// The tenant's key in the store.
    pub(crate) const fn key(self) -> i64 {
        self.id
    }
}
