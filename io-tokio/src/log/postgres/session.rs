//! Sessions on the server. Statements enter; each answer leaves in time, or the session counts as
//! lost.

use std::{str::FromStr as _, time::Duration};

use tokio::{task::AbortHandle, time::timeout};
use tokio_postgres::{
    Client, Config, NoTls, Row, Statement, ToStatement,
    error::Severity,
    types::{FromSqlOwned, ToSql},
};

use super::{PostgresOpenError, PostgresOptions};

/// The address of the logs, and the instance that they belong to.
pub(super) struct Database {
    config: Config,
    pub(super) schema: String,
    pub(super) instance: String,
    answer_timeout: Duration,
}

/// The failure of a statement.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused it: nothing of it is done. The session goes on.
    Refused(String),
    /// No answer came: it is unknown what of it is done. The session can no longer be used.
    Lost(String),
}

impl Failure {
    pub(super) fn message(self) -> String {
        match self {
            Self::Refused(message) | Self::Lost(message) => message,
        }
    }

    pub(super) const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let cause = std::error::Error::source(&error);
            return Self::Lost(
                cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
            );
        };
        // The message goes without its detail, which may quote rows.
        let message = format!("{} ({})", said.message(), said.code().code());
        if said.parsed_severity() == Some(Severity::Error) {
            Self::Refused(message)
        } else {
            // The session ends with this error, before or after the commit.
            Self::Lost(message)
        }
    }
}

/// A session. Its connection is closed when it is dropped.
pub(super) struct Session {
    client: Client,
    connection: AbortHandle,
    answer_timeout: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

type Parameters<'a> = [&'a (dyn ToSql + Sync)];

/// The statements, each of which is answered in time or lost.
impl Session {
    pub(super) async fn rows(
        &self,
        statement: &(impl ToStatement + ?Sized),
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Failure> {
        in_time(self.answer_timeout, self.client.query(statement, parameters)).await
    }

    /// Returns the only row of an answer, if there is one.
    pub(super) async fn row(
        &self,
        statement: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Option<Row>, Failure> {
        in_time(self.answer_timeout, self.client.query_opt(statement, parameters)).await
    }

    /// Returns the only value of an answer that has one.
    pub(super) async fn value<T: FromSqlOwned>(
        &self,
        statement: &str,
        parameters: &Parameters<'_>,
    ) -> Result<T, Failure> {
        let answer = self.client.query_one(statement, parameters);
        Ok(in_time(self.answer_timeout, answer).await?.try_get(0)?)
    }

    pub(super) async fn execute(
        &self,
        statement: &str,
        parameters: &Parameters<'_>,
    ) -> Result<u64, Failure> {
        in_time(self.answer_timeout, self.client.execute(statement, parameters)).await
    }

    /// Runs several statements in a row, without parameters.
    pub(super) async fn script(&self, statements: &str) -> Result<(), Failure> {
        in_time(self.answer_timeout, self.client.batch_execute(statements)).await
    }

    pub(super) async fn prepare(&self, statement: &str) -> Result<Statement, Failure> {
        in_time(self.answer_timeout, self.client.prepare(statement)).await
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

async fn in_time<T>(
    answer_timeout: Duration,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(answer_timeout, statement).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Lost(format!("no answer within {answer_timeout:?}"))),
    }
}

impl Database {
    pub(super) fn new(
        address: &str,
        instance: &str,
        options: &PostgresOptions,
    ) -> Result<Self, PostgresOpenError> {
        let PostgresOptions { schema, answer_timeout, .. } = options;
        let mut config = Config::from_str(address)
            .map_err(|_| PostgresOpenError::Address { problem: "its form is wrong".to_owned() })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresOpenError::Address { problem: "it names no host".to_owned() });
        }
        if config.get_application_name().is_none() {
            config.application_name("synrepl");
        }
        let is_plain = |(at, c): (usize, char)| {
            c.is_ascii_lowercase() || c == '_' || (at > 0 && c.is_ascii_digit())
        };
        if schema.is_empty() || schema.len() > 63 || !schema.char_indices().all(is_plain) {
            return Err(PostgresOpenError::Schema { schema: schema.clone() });
        }
        if instance.is_empty() || instance.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(PostgresOpenError::Instance);
        }
        Ok(Self {
            config,
            schema: schema.clone(),
            instance: instance.to_owned(),
            answer_timeout: *answer_timeout,
        })
    }

    /// Opens a session.
    pub(super) async fn connect(&self) -> Result<Session, Failure> {
        let (client, connection) = in_time(self.answer_timeout, self.config.connect(NoTls)).await?;
        let connection = tokio::spawn(async move {
            // Its error is reported to the statement that waits for an answer.
            let _ = connection.await;
        });
        let (connection, answer_timeout) = (connection.abort_handle(), self.answer_timeout);
        let session = Session { client, connection, answer_timeout };
        let settings = format!(
            "SET search_path = {};
             SELECT set_config('synchronous_commit', 'on', false)
                 WHERE current_setting('synchronous_commit') IN ('off', 'local')",
            self.schema
        );
        session.script(&settings).await?;
        Ok(session)
    }
}
