//! Values of statements.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;

/// A number, equal to one of the same bits.
#[derive(Clone, Copy, Debug)]
pub struct Real(pub f64);

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Real {}

impl From<f64> for Real {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// No value, of whatever type the statement wants there.
    Null,
    /// A truth value; 0 or 1 on SQLite.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(Real),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
}

macro_rules! param {
    ($($of:ty => $variant:ident,)+) => {
        $(impl From<$of> for Param {
            fn from(value: $of) -> Self {
                Self::$variant(value.into())
            }
        })+
    };
}

param! {
    bool => Bool,
    i64 => Int,
    i32 => Int,
    u32 => Int,
    f64 => Real,
    &str => Text,
    String => Text,
    Vec<u8> => Bytes,
    Bytes => Bytes,
}

impl<T: Into<Self>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
