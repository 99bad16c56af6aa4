//! The task that writes, and that reads how far others wrote. Appends in line enter; their tokens
//! leave once they are committed. An append of unknown fate is looked up before it is sent again,
//! so that no batch is written twice.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use synrepl_core::{ByteString, stream::Token};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    PostgresOpenError, PostgresOptions,
    session::{Database, Failure, Session},
    tables,
};
use crate::log::{
    AppendError,
    append::{Append, fits_group},
    line::Server,
    progress::Progress,
};

/// The time until a lost session is made anew: at first, and at most.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

const STREAMS: &str = "
    SELECT name, last_token FROM streams JOIN writers ON stream = name WHERE instance = $1";

const NEW_STREAM: &str = "INSERT INTO streams VALUES ($1, 0) ON CONFLICT DO NOTHING";
const NEW_WRITER: &str = "INSERT INTO writers VALUES ($1, $2) ON CONFLICT DO NOTHING";

/// Moves the sequence on and inserts the batches below its new end, both or neither. No batch is
/// inserted if the sequence stands below a token that is known to have been given out.
const APPEND: &str = "
    WITH moved AS (
        UPDATE streams SET last_token = last_token + cardinality($4::int[])
        WHERE name = $1::text AND last_token >= $3::bigint RETURNING last_token
    ), inserted AS (
        INSERT INTO batches
        SELECT $1::text, $2::text, last_token - cardinality($4::int[]) + place,
            row_count, rows, $6::bigint
        FROM moved, unnest($4::int[], $5::text[]) WITH ORDINALITY AS b (row_count, rows, place)
    )
    SELECT last_token FROM moved";

const FIND: &str = "
    SELECT max(token) FROM batches
    WHERE stream = $1 AND instance = $2 AND token > $3 AND append_id = $4";

/// The writer of the appends in line.
pub(super) struct Writer {
    database: Arc<Database>,
    options: PostgresOptions,
    progress: Arc<Progress>,
    session: Option<Session>,
    /// The id of the server's process behind the latest session.
    process: Option<i32>,
    /// The id of the latest append. It begins anywhere, so that two lives of an instance have
    /// different ones.
    append_id: i64,
}

impl Writer {
    /// Connects, makes the tables and takes the lock.
    pub(super) async fn open(
        database: Arc<Database>,
        options: &PostgresOptions,
    ) -> Result<(Self, Arc<Progress>), PostgresOpenError> {
        let server = |failure: Failure| PostgresOpenError::Server { message: failure.message() };
        let session = database.connect().await.map_err(server)?;
        tables::prepare(&session, &database).await?;
        let progress = Arc::new(Progress::default());
        let mut writer = Self {
            database,
            options: options.clone(),
            progress: Arc::clone(&progress),
            session: None,
            process: None,
            append_id: RandomState::new().build_hasher().finish().cast_signed(),
        };
        if !writer.settle(session).await.map_err(server)? {
            let Database { schema, instance, .. } = &*writer.database;
            let (schema, instance) = (schema.clone(), instance.clone());
            return Err(PostgresOpenError::InUse { instance, schema });
        }
        writer.look().await.map_err(server)?;
        Ok((writer, progress))
    }

    /// Makes the session the writer's, if it gets the lock; returns whether it did.
    async fn settle(&mut self, session: Session) -> Result<bool, Failure> {
        let locked = tables::lock(&session, &self.database, self.process).await?;
        if locked {
            self.process = Some(tables::process(&session).await?);
            self.session = Some(session);
        }
        Ok(locked)
    }

    /// Serves the line until it is closed and empty.
    pub(super) async fn run(mut self, server: Server<Append>) {
        let (rows_max, bytes_max) = (self.options.group_rows_max, self.options.group_bytes_max);
        let mut looks = interval(self.options.poll_every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                group = poll_fn(|cx| server.poll_take(cx, fits_group(rows_max, bytes_max))) => {
                    let Some(group) = group else { return };
                    self.append(group, &server).await;
                }
                _ = looks.tick() => {
                    if let Err(failure) = self.read_ends_or_connect().await {
                        tracing::warn!(message = failure.message(), "the log in PostgreSQL is away");
                    }
                }
            }
        }
    }

    async fn read_ends_or_connect(&mut self) -> Result<(), Failure> {
        if self.session.is_none() {
            self.connect().await?;
        }
        let looked = self.look().await;
        if looked.as_ref().is_err_and(Failure::is_lost) {
            self.session = None;
        }
        looked
    }

    /// Reads how far the sequences have come, and reports that.
    async fn look(&self) -> Result<(), Failure> {
        let Some(session) = &self.session else { return Ok(()) };
        for row in session.rows(STREAMS, &[&self.database.instance]).await? {
            let stream = ByteString::from(row.try_get::<_, &str>(0)?);
            self.progress.reached(&stream, Token::new(row.try_get(1)?));
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        let session = self.database.connect().await?;
        if self.settle(session).await? {
            return Ok(());
        }
        let instance = &self.database.instance;
        Err(Failure::Lost(format!("another process writes as instance {instance:?} now")))
    }

    /// Appends a group, stream by stream, and answers each of its appends.
    async fn append(&mut self, group: Vec<Append>, server: &Server<Append>) {
        let mut streams = BTreeMap::<ByteString, Vec<Append>>::new();
        for append in group {
            streams.entry(append.batch.stream.clone()).or_default().push(append);
        }
        for (stream, appends) in streams {
            let result = self.append_to(&stream, &appends, server).await;
            if let Ok(last) = &result {
                self.progress.reached(&stream, *last);
            }
            for (behind, append) in (0_i64..).zip(appends.into_iter().rev()) {
                append.answer(result.clone().map(|last| Token::new(last.get() - behind)));
            }
        }
    }

    /// Appends to one stream, in one transaction and exactly once: tries until it is known to be
    /// done or refused. Returns the token of the last batch; the others have those just below.
    async fn append_to(
        &mut self,
        stream: &ByteString,
        appends: &[Append],
        server: &Server<Append>,
    ) -> Result<Token, AppendError> {
        self.append_id = self.append_id.wrapping_add(1);
        let (mut retry_in, mut sent) = (RETRY_FIRST, false);
        loop {
            let failure = match self.try_append(stream, appends, &mut sent).await {
                Ok(Ok(last)) => return Ok(last),
                Ok(Err(refused)) => return Err(refused),
                Err(Failure::Refused(message)) => return Err(AppendError::Store { message }),
                Err(Failure::Lost(message)) => message,
            };
            self.session = None;
            if server.is_closed() {
                let unknown = if sent { "; whether the rows are there is not known" } else { "" };
                let message = format!("{failure}{unknown}");
                return Err(AppendError::Store { message });
            }
            tracing::warn!(message = failure, "the log in PostgreSQL is away; appends wait");
            sleep(retry_in).await;
            retry_in = (retry_in * 2).min(RETRY_MAX);
        }
    }

    async fn try_append(
        &mut self,
        stream: &ByteString,
        appends: &[Append],
        sent: &mut bool,
    ) -> Result<Result<Token, AppendError>, Failure> {
        if self.session.is_none() {
            self.connect().await?;
        }
        let Some(session) = &self.session else { return Err(Failure::Lost("lost".to_owned())) };
        let (name, instance, id) = (&**stream, &self.database.instance, self.append_id);
        let known = self.progress.last(stream).get();
        if *sent {
            let last = session.value::<Option<i64>>(FIND, &[&name, instance, &known, &id]).await?;
            if let Some(last) = last {
                return Ok(Ok(Token::new(last)));
            }
        } else if !self.progress.knows(stream) {
            let streams_max = self.options.limits.streams_max;
            if self.progress.streams().len() >= streams_max {
                return Ok(Err(AppendError::TooManyStreams { streams_max }));
            }
            session.execute(NEW_STREAM, &[&name]).await?;
            session.execute(NEW_WRITER, &[instance, &name]).await?;
        }
        let counts: Vec<_> = appends.iter().map(|append| append.batch.rows.cast_signed()).collect();
        let texts: Vec<_> = appends.iter().map(|append| append.batch.text.as_str()).collect();
        *sent = true;
        match session.row(APPEND, &[&name, instance, &known, &counts, &texts, &id]).await? {
            Some(last) => Ok(Ok(Token::new(last.try_get(0)?))),
            None => Err(Failure::Refused(format!(
                "the sequence of stream {name:?} stands below {known}, which was given out; \
                 was an old backup restored?"
            ))),
        }
    }
}
