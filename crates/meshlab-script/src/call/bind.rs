//! From a definition and a body to a function of Lua.

use std::{future::Future, sync::Arc};

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Result, UserData, UserDataMethods};

use super::{Call, Outcome};
use crate::{context::Context, define::Definition};

/// A function of the language that waits. The call's place is taken before its first wait.
pub(crate) fn waiting<F, FR, R>(
    lua: &Lua,
    context: &Arc<Context>,
    definition: &'static Definition,
    body: F,
) -> Result<Function>
where
    F: Fn(Call) -> FR + Send + Sync + 'static,
    FR: Future<Output = Outcome<R>> + Send + 'static,
    R: IntoLuaMulti,
{
    waiting_as(lua, context, definition.name, definition, body)
}

/// The same under a name of its own: `check.spans` is defined as `expect.spans`.
pub(crate) fn waiting_as<F, FR, R>(
    lua: &Lua,
    context: &Arc<Context>,
    name: &'static str,
    definition: &'static Definition,
    body: F,
) -> Result<Function>
where
    F: Fn(Call) -> FR + Send + Sync + 'static,
    FR: Future<Output = Outcome<R>> + Send + 'static,
    R: IntoLuaMulti,
{
    debug_assert!(definition.waits, "`{name}` waits and is not defined so");
    context.bind(name);
    let context = Arc::clone(context);
    lua.create_async_function(move |lua, arguments: MultiValue| {
        let call = Call::new(&context, &lua, name, definition, arguments);
        let context = Arc::clone(&context);
        let work = call.at_most().map(|()| body(call));
        async move {
            let result = match work {
                Ok(work) => work.await,
                Err(error) => Err(error),
            };
            context.touch();
            thrown(result)
        }
    })
}

/// A function of the language that does not wait.
pub(crate) fn instant<F, R>(
    lua: &Lua,
    context: &Arc<Context>,
    definition: &'static Definition,
    body: F,
) -> Result<Function>
where
    F: Fn(Call) -> Outcome<R> + Send + Sync + 'static,
    R: IntoLuaMulti,
{
    debug_assert!(!definition.waits, "`{}` does not wait and is defined so", definition.name);
    context.bind(definition.name);
    let context = Arc::clone(context);
    lua.create_function(move |lua, arguments: MultiValue| {
        let call = Call::new(&context, lua, definition.name, definition, arguments);
        thrown(call.at_most().and_then(|()| body(call)))
    })
}

/// A value that has methods of the language.
pub(crate) trait Bound: UserData + Clone + Send + 'static {
    fn context(&self) -> &Arc<Context>;
}

/// Adds a method that does not wait.
pub(crate) fn method<T, M, F, R>(methods: &mut M, definition: &'static Definition, act: F)
where
    T: Bound,
    M: UserDataMethods<T>,
    F: Fn(&T, Call) -> Outcome<R> + Send + Sync + 'static,
    R: IntoLuaMulti,
{
    debug_assert!(!definition.waits, "`{}` does not wait and is defined so", definition.name);
    methods.add_method(definition.short(), move |lua, this, arguments: MultiValue| {
        let call = Call::new(this.context(), lua, definition.spoken(), definition, arguments);
        thrown(call.at_most().and_then(|()| act(this, call)))
    });
}

/// Adds a method that waits. The call's place is taken before its first wait.
pub(crate) fn waiting_method<T, M, F, FR, R>(
    methods: &mut M,
    definition: &'static Definition,
    act: F,
) where
    T: Bound,
    M: UserDataMethods<T>,
    F: Fn(T, Call) -> FR + Send + Sync + 'static,
    FR: Future<Output = Outcome<R>> + Send + 'static,
    R: IntoLuaMulti,
{
    debug_assert!(definition.waits, "`{}` waits and is not defined so", definition.name);
    methods.add_async_method(definition.short(), move |lua, this, arguments: MultiValue| {
        let call = Call::new(this.context(), &lua, definition.spoken(), definition, arguments);
        let work = call.at_most().map(|()| act(this.clone(), call));
        async move {
            thrown(match work {
                Ok(work) => work.await,
                Err(error) => Err(error),
            })
        }
    });
}

pub(crate) fn thrown<T>(result: Outcome<T>) -> Result<T> {
    result.map_err(|error| mlua::Error::external(*error))
}
