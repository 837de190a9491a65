//! Hostile and honest tokens against the whole of `auth`.
