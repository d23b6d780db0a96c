//! `spawn`, `parallel`, `race`, `every`: what runs beside each other, and again and again.

use std::{future::Future, sync::Arc, time::Duration};

use mlua::{Function, Lua, MetaMethod, MultiValue, Result, UserData, UserDataMethods, Value};
use tokio::task::JoinSet;

use super::{
    mesh::missing,
    task_definitions::{CANCEL, EVERY, JOIN, PARALLEL, RACE, SPAWN, TASK},
};
use crate::{
    call::{Bound, Call, Outcome, describe, instant, waiting, waiting_method},
    context::Context,
    error::ErrorKind,
    task::{Ended, Task, Waited},
    unwind::unwind,
};

/// Bodies that may run at once; a test has far fewer nodes to keep busy.
const BODIES_MAX: usize = 1000;

pub(crate) fn install(lua: &Lua, context: &Arc<Context>, globals: &mlua::Table) -> Result<()> {
    globals.raw_set("spawn", instant(lua, context, &SPAWN, spawn)?)?;
    globals.raw_set("parallel", waiting(lua, context, &PARALLEL, parallel)?)?;
    globals.raw_set("race", waiting(lua, context, &RACE, race)?)?;
    globals.raw_set("every", waiting(lua, context, &EVERY, every)?)
}

/// A task that `spawn` started.
#[derive(Clone)]
struct TaskRef {
    task: Arc<Task>,
    context: Arc<Context>,
}

/// Makes a task of a body; it runs once somebody polls what is handed back.
pub(super) fn begin(
    call: &Call,
    body: Function,
    waited: Waited,
) -> Outcome<(Arc<Task>, impl Future<Output = Ended> + Send + 'static)> {
    let mut place = call.place()?;
    place.task = call.context.tasks.start(&place.task, call.line, waited);
    let (task, context) = (Arc::clone(&place.task), Arc::clone(&call.context));
    let running = Arc::clone(&task);
    let work = async move {
        let result = place.run(body.call_async::<MultiValue>(())).await;
        let ended = result.map_err(|error| Box::new(unwind(&context, &error)));
        running.end(match &ended {
            // That it was told to end is nothing that anybody has to be told.
            Err(error) if error.kind == ErrorKind::Withdrawn => Ok(MultiValue::new()),
            other => other.clone(),
        });
        ended
    };
    Ok((task, work))
}

fn spawn(call: Call) -> Outcome<TaskRef> {
    let body = call.function(0)?;
    call.host()?;
    let (task, work) = begin(&call, body, Waited::ByJoin)?;
    // Its end is watched through the task; the test waits for it.
    drop(tokio::spawn(work));
    Ok(TaskRef { task, context: Arc::clone(&call.context) })
}

impl TaskRef {
    async fn join(self, call: Call) -> Outcome<MultiValue> {
        call.host()?;
        let me = call.place()?.task;
        let waited = call.context.tasks.wait(&me, &self.task).await;
        let ended = waited.ok_or_else(|| {
            let line = self.task.line.number;
            call.mistake_with(
                format!("the task of line {line} waits for this one, so this would never end"),
                "a task waits only for tasks that do not wait for it",
            )
        })?;
        call.go_on()?;
        self.task.join();
        if ended.is_ok() && self.task.is_cancelled() {
            return Ok(MultiValue::new());
        }
        ended
    }

    async fn cancel(self, call: Call) -> Outcome<()> {
        call.host()?;
        let me = call.place()?.task;
        if self.task.holds(&me) {
            let help = "`return` ends a task from within, `error` with a failure";
            return Err(call.mistake_with("a task cannot cancel itself", help));
        }
        call.context.tasks.cancel(&self.task);
        // What it is to take back is taken back when this returns.
        tokio::select! {
            biased;
            () = call.context.tasks.gone(&self.task) => {}
            () = me.cancelled() => {}
        }
        call.go_on()
    }
}

impl Bound for TaskRef {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

impl UserData for TaskRef {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        waiting_method(methods, &JOIN, Self::join);
        waiting_method(methods, &CANCEL, Self::cancel);
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| {
            Err::<Value, _>(missing(&this.context, lua, "a task", &key, &TASK))
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("the task of line {}", this.task.line.number))
        });
    }
}

/// The bodies of `parallel` and `race`.
fn bodies(call: &Call) -> Outcome<Vec<Function>> {
    call.host()?;
    let example = format!("`{} {{ function() ... end, function() ... end }}`", call.name);
    let wrong = |got: String| {
        let message = format!("`{}` takes a list of functions, got {got}", call.name);
        call.mistake_with(message, format!("for example {example}"))
    };
    let Value::Table(list) = call.argument(0) else {
        return Err(wrong(describe(&call.argument(0))));
    };
    let mut bodies = Vec::new();
    for body in list.clone().sequence_values::<Value>() {
        match body {
            Ok(Value::Function(body)) => bodies.push(body),
            Ok(other) => return Err(wrong(format!("{} in it", describe(&other)))),
            Err(error) => return Err(call.mistake(error.to_string())),
        }
    }
    let pairs = list.pairs::<Value, Value>().count();
    if bodies.is_empty() || pairs != bodies.len() {
        let got = if pairs == 0 { "an empty table" } else { "a table with names or gaps" };
        return Err(wrong(got.to_owned()));
    }
    if bodies.len() > BODIES_MAX {
        return Err(call.mistake(format!("`{}` takes at most {BODIES_MAX} bodies", call.name)));
    }
    Ok(bodies)
}

/// Bodies that run at once.
struct Running<'a> {
    call: &'a Call,
    tasks: Vec<Arc<Task>>,
    set: JoinSet<(i64, Ended)>,
}

impl<'a> Running<'a> {
    fn start(call: &'a Call) -> Outcome<Self> {
        let mut running = Self { call, tasks: Vec::new(), set: JoinSet::new() };
        for (number, body) in (1..).zip(bodies(call)?) {
            let (task, work) = begin(call, body, Waited::ByCall)?;
            running.tasks.push(task);
            running.set.spawn(async move { (number, work.await) });
        }
        Ok(running)
    }

    /// The next to end; `None` once all have.
    async fn next(&mut self) -> Option<(i64, Ended)> {
        let call = self.call;
        self.set.join_next().await.map(|ended| {
            ended.unwrap_or_else(|error| {
                let mut error = call.mistake(format!("a body broke: {error}"));
                error.kind = ErrorKind::Harness;
                (0, Err(error))
            })
        })
    }

    fn cancel(&self) {
        for task in &self.tasks {
            self.call.context.tasks.cancel(task);
        }
    }

    /// Cancels the rest and waits until all are gone; what went wrong in them beyond that they
    /// were told to end, such as a fault that could not be taken back.
    async fn end(mut self) -> Outcome<()> {
        self.cancel();
        let mut outcome = Ok(());
        while let Some((_, ended)) = self.next().await {
            match ended {
                Err(error) if error.kind != ErrorKind::Withdrawn && outcome.is_ok() => {
                    outcome = Err(error);
                }
                _ => {}
            }
        }
        for task in &self.tasks {
            self.call.context.tasks.gone(task).await;
        }
        outcome
    }
}

async fn parallel(call: Call) -> Outcome<()> {
    let mut running = Running::start(&call)?;
    while let Some((_, ended)) = running.next().await {
        if let Err(error) = ended {
            // The first is the cause; what the others still say comes of being cancelled.
            let _ = running.end().await;
            return Err(error);
        }
    }
    Ok(())
}

async fn race(call: Call) -> Outcome<i64> {
    let mut running = Running::start(&call)?;
    let Some((winner, ended)) = running.next().await else { return Ok(0) };
    let rest = running.end().await;
    ended?;
    rest.map(|()| winner)
}

/// Rounds of an `every` that a rehearsal goes through before the last one.
const REHEARSED: i64 = 3;

/// Runs the body at the end of each period. If a body lasts beyond the end of the next period, one
/// round follows at once for all that has passed meanwhile: no evidence goes unseen.
async fn every(call: Call) -> Outcome<()> {
    let (period, total) = (call.planned(0)?, call.planned(1)?);
    // A plan that the command line cuts short to less than one round has that one, at its end.
    let period = if call.context.overrides.duration.is_some() { period.min(total) } else { period };
    let body = call.function(2)?;
    if period.is_zero() {
        return Err(call.mistake("the period of `every` is more than \"0s\""));
    }
    if period > total {
        return Err(call.mistake_with(
            "the period of `every` is longer than its total, so its body would never run",
            "`every(period, total, body)`: the period comes first",
        ));
    }
    let host = Arc::clone(call.host()?);
    let began = host.now();
    let periods =
        |length: Duration| u32::try_from(length.as_nanos() / period.as_nanos()).unwrap_or(u32::MAX);
    let (mut since, mut ends) = (began, 0_u32);
    for round in 1_i64.. {
        if ends >= periods(total) {
            break;
        }
        let passed = host.now().since(began);
        ends = periods(passed).max(ends + 1).min(periods(total));
        if round > REHEARSED && host.rehearses() {
            // The rounds between are like those before: it is the last one that comes next.
            ends = periods(total);
        }
        let left = period.saturating_mul(ends).saturating_sub(passed);
        call.or_cancelled(host.sleep(left)).await?;
        let place = call.place()?.since(since);
        since = host.now();
        let ran = place.run(body.call_async::<()>(round)).await;
        ran.map_err(|error| Box::new(unwind(&call.context, &error)))?;
    }
    Ok(())
}
