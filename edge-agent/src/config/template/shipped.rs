//! The templates in the program: the files of `configs/templates/`, in order. Never one that is not
//! there as a file too, for people start their own from these.

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[];
