//! Inputs and actions as they may be written to a trace, without what [`crate::secret`] calls
//! secret.
//!
//! A `Secret` redacts itself when it is written; rows are verbatim everywhere else, so their access
//! tokens are replaced here.

use std::borrow::Cow;

use crate::{
    action::Action,
    event::Event,
    input::Input,
    secret::{holds_tokens, takes_tokens, veiled_row},
    stream::Row,
    wire::{Command, InvalidateCache, Rdata},
};

fn is_secret(row: &Row) -> bool {
    holds_tokens(row.as_str())
}

fn veiled(row: &Row) -> Row {
    Row::from(veiled_row(row.as_str()).as_ref())
}

fn command(original: &Command) -> Option<Command> {
    if let Command::Rdata(rdata) = original
        && is_secret(&rdata.row)
    {
        return Some(Command::Rdata(Rdata { row: veiled(&rdata.row), ..rdata.clone() }));
    }
    if let Command::InvalidateCache(InvalidateCache { function, .. }) = original
        && takes_tokens(function)
    {
        let keys = Row::from("[]");
        let function = function.clone();
        return Some(Command::InvalidateCache(InvalidateCache { function, keys }));
    }
    None
}

/// Returns the input as it may be written.
pub(super) fn input(original: &Input) -> Cow<'_, Input> {
    if let Input::Received { conn, command: received } = original
        && let Some(command) = command(received)
    {
        return Cow::Owned(Input::Received { conn: *conn, command });
    }
    if let Input::Send { command: sent } = original
        && let Some(command) = command(sent)
    {
        return Cow::Owned(Input::Send { command });
    }
    if let Input::Fetched { query, result: Ok(page) } = original
        && page.updates.iter().any(|(_, row)| is_secret(row))
    {
        let mut page = page.clone();
        for (_, row) in &mut page.updates {
            *row = veiled(row);
        }
        return Cow::Owned(Input::Fetched { query: *query, result: Ok(page) });
    }
    if let Input::LogRead { query, result: Ok(page) } = original
        && page.updates.iter().any(|(_, row)| is_secret(row))
    {
        let mut page = page.clone();
        for (_, row) in &mut page.updates {
            *row = veiled(row);
        }
        return Cow::Owned(Input::LogRead { query: *query, result: Ok(page) });
    }
    Cow::Borrowed(original)
}

/// Returns the action as it may be written.
pub(super) fn action(original: &Action) -> Cow<'_, Action> {
    if let Action::Notify(Event::Rows { source, token, rows, origin, position }) = original
        && rows.iter().any(is_secret)
    {
        return Cow::Owned(Action::Notify(Event::Rows {
            source: source.clone(),
            token: *token,
            rows: rows.map(veiled),
            origin: *origin,
            position: *position,
        }));
    }
    if let Action::Send { conn, channel, command: sent } = original
        && let Some(command) = command(sent)
    {
        return Cow::Owned(Action::Send { conn: *conn, channel: *channel, command });
    }
    if let Action::Broadcast { audience, command: sent } = original
        && let Some(command) = command(sent)
    {
        let command = Box::new(command);
        return Cow::Owned(Action::Broadcast { audience: audience.clone(), command });
    }
    if let Action::Notify(Event::Command { command: received }) = original
        && let Some(command) = command(received)
    {
        return Cow::Owned(Action::Notify(Event::Command { command }));
    }
    if let Action::Notify(Event::PeerCommand { conn, command: received }) = original
        && let Some(command) = command(received)
    {
        let command = Box::new(command);
        return Cow::Owned(Action::Notify(Event::PeerCommand { conn: *conn, command }));
    }
    Cow::Borrowed(original)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Channel,
        ids::{ConnectionId, FetchId},
        stream::{Page, Token},
    };

    #[test]
    fn what_holds_no_secret_is_written_from_where_it_stands() {
        let row = Row::from(r#"["get_user_by_id",["@u:h"],1]"#);
        let rdata = Command::Rdata(Rdata {
            stream: "caches".into(),
            instance: "w".into(),
            token: Some(Token::new(1)),
            row: row.clone(),
        });
        let conn = ConnectionId::new(1);
        let received = Input::Received { conn, command: rdata.clone() };
        assert!(matches!(input(&received), Cow::Borrowed(_)));
        let page = Page { updates: vec![(Token::new(1), row)], ..Page::default() };
        let fetched = Input::Fetched { query: FetchId::new(1), result: Ok(page) };
        assert!(matches!(input(&fetched), Cow::Borrowed(_)));
        let sent = Action::Send { conn, channel: Channel::Main, command: rdata };
        assert!(matches!(action(&sent), Cow::Borrowed(_)));
    }
}
