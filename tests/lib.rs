//! Integration tests on the public API.
