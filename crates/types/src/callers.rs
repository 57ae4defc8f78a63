//! Who waits for a message.

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::Address;

/// The entities whose handlers wait for a message, the first caller first. Empty for a message that
/// comes from outside, and for one that nobody waits for.
///
/// An entity handles one message at a time, so one that is called by those whom it waits for would
/// wait for ever: [`Callers::calling`] refuses such a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Callers(Vec<Address>);

impl Callers {
    /// Most entities that wait for one another.
    pub const MOST: usize = 32;

    /// Nobody.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Those who wait for a message to `next`, where `caller` sends it while it handles a message
    /// that these wait for.
    ///
    /// # Errors
    /// [`CallRefused`] where `next` would wait for itself, or too many for one another.
    pub fn calling(&self, caller: &Address, next: &Address) -> Result<Self, CallRefused> {
        let all = || self.0.iter().chain([caller]);
        if let Some(first) = all().position(|waits| waits == next) {
            let circle = all().skip(first).chain([next]);
            return Err(CallRefused::Circular(circle.cloned().collect()));
        }
        if self.0.len() >= Self::MOST {
            return Err(CallRefused::TooDeep(next.clone()));
        }
        Ok(Self(all().cloned().collect()))
    }
}

/// Why a handler's call is surely not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallRefused {
    /// These call one another in a circle; the first is the last.
    Circular(Vec<Address>),
    /// [`Callers::MOST`] entities wait for one another already, and this one would be next.
    TooDeep(Address),
}

impl CallRefused {
    /// A stable name for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Circular(_) => "circular_call",
            Self::TooDeep(_) => "call_too_deep",
        }
    }
}

impl fmt::Display for CallRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Circular(circle) => {
                for (at, address) in circle.iter().enumerate() {
                    write!(f, "{}{address}", if at == 0 { "" } else { " calls " })?;
                }
                f.write_str(
                    ": each would wait for the next; send a message without waiting instead",
                )
            }
            Self::TooDeep(next) => {
                let most = Callers::MOST;
                write!(f, "{most} entities wait for one another; {next} is not called")
            }
        }
    }
}

impl core::error::Error for CallRefused {}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;
    use crate::Tenant;

    fn address(id: &str) -> Address {
        Address::parse(Tenant::default_tenant(), &format!("Probe/{id}")).unwrap()
    }

    #[test]
    fn a_circle_of_any_length_is_refused_and_told() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(address);
        let none = Callers::none();
        assert_eq!(none.calling(&a, &a), Err(CallRefused::Circular([a.clone(), a.clone()].into())));
        let of_b = none.calling(&a, &b).unwrap();
        let of_c = of_b.calling(&b, &c).unwrap();
        assert!(of_c.calling(&c, &d).is_ok());
        assert_eq!(
            of_c.calling(&c, &b).unwrap_err().to_string().split(':').next(),
            Some("Probe/b calls Probe/c calls Probe/b")
        );
        let told = of_c.calling(&c, &a).unwrap_err();
        assert!(
            told.to_string().starts_with("Probe/a calls Probe/b calls Probe/c calls Probe/a: ")
        );
        assert_eq!(told.as_str(), "circular_call");
    }

    #[test]
    fn the_chain_is_bounded() {
        let mut callers = Callers::none();
        for at in 0..Callers::MOST {
            callers = callers.calling(&address(&format!("e{at}")), &address("next")).unwrap();
        }
        let refused = callers.calling(&address("last"), &address("next")).unwrap_err();
        assert_eq!(refused, CallRefused::TooDeep(address("next")));
    }

    #[test]
    fn an_entity_of_another_tenant_is_another_entity() {
        let a = address("a");
        let other = Address { tenant: Tenant::new("other").unwrap(), ..a.clone() };
        assert!(Callers::none().calling(&a, &other).is_ok());
    }
}
