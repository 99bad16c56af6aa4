//! Catches panics of a machine or an application, so that a panic is reported as a violation with
//! its scenario and time line, and the other seeds go on (promise C2).

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `act`; if it panics, returns the text of the panic. What `act` worked on may then be in an
/// inconsistent state.
pub(crate) fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act))
        .map_err(|payload| format!("panicked: {}", panic_text(&*payload)))
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}

#[cfg(test)]
mod tests {
    use synrepl_core::{Action, Config, ConfigError, Input, Misuse, Timestamp, stream::Positions};

    use crate::{
        Cast, Choice, FollowerPlan, Machine, Mode, Promise, Scenario, Truth, WriterPlan, play,
        run_with_handler,
    };

    #[derive(Debug)]
    struct Brittle(Option<Action>);

    impl Machine for Brittle {
        fn handle(&mut self, _: Timestamp, _: Input) -> Result<(), Misuse> {
            panic!("{} of us", 1)
        }

        fn poll_action(&mut self) -> Option<Action> {
            self.0.take()
        }

        fn poll_timeout(&self) -> Option<Timestamp> {
            None
        }

        fn positions(&self) -> Positions {
            Positions::new()
        }
    }

    struct Brittles;

    impl Cast for Brittles {
        fn follower(&self, _: &FollowerPlan, _: Config) -> Result<Box<dyn Machine>, ConfigError> {
            let conn = synrepl_core::ConnectionId::new(1);
            Ok(Box::new(Brittle(Some(Action::Connect { conn }))))
        }

        fn writer(
            &self,
            _: &WriterPlan,
            _: Config,
        ) -> Result<Option<Box<dyn Machine>>, ConfigError> {
            Ok(None)
        }
    }

    #[test]
    fn a_machine_that_panics_breaks_c2_and_leaves_a_trace() {
        let scenario = Scenario::draw(Mode::Calm, 1);
        let outcome =
            play(&scenario, Choice { cast: &Brittles, traced: true, ..Choice::default() });
        let violation = outcome.violations.first().unwrap();
        assert_eq!((violation.promise, &*violation.what), (Promise::Total, "panicked: 1 of us"));
        assert!(!outcome.trace.unwrap().moments.is_empty());
    }

    #[test]
    fn an_application_that_panics_breaks_its_own_promise() {
        let scenario = Scenario::draw(Mode::Calm, 1);
        let mut asserts = |_: Timestamp, _: &synrepl_core::Event, _: Truth<'_>| panic!("not so");
        let failure = run_with_handler(&scenario, &mut asserts).unwrap_err();
        assert_eq!(failure.violation.promise, Promise::Application);
        assert_eq!(failure.violation.what, "panicked: not so");
        assert_eq!(failure.scenario, scenario);
    }
}
