//! The one lock of an account: std's in the gateway, shuttle's under the tests that explore schedules.

use std::sync::{Mutex, PoisonError};

use super::book::Book;

/// Lets one thread at a time see the book.
pub trait Lock {
    /// Around a book.
    fn new(book: Book) -> Self;
    /// Runs `f` alone.
    fn with<T>(&self, f: impl FnOnce(&mut Book) -> T) -> T;
}

impl Lock for Mutex<Book> {
    fn new(book: Book) -> Self {
        Mutex::new(book)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Book) -> T) -> T {
        f(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
