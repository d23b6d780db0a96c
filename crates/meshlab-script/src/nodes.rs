//! `--nodes`: which number of a scenario it takes the place of.

use meshlab_model::ParamValue;

use crate::{
    Script,
    api::NODES_PARAM,
    locate::{Token, tokens},
};

/// What to do where there is no one number.
const CURE: &str = "declare `params = { nodes = 4 }` in `scenario`, and write `nodes = \
                    run.params.nodes` where it counts";

impl Script {
    /// Whether the command line can say how many nodes there are: by the parameter `nodes`, or in
    /// the place of the plain number of the one `mesh` of the file.
    ///
    /// # Errors
    /// It cannot, because no number or more than one could be meant; says what to do.
    pub fn takes_nodes(&self) -> Result<(), String> {
        match self.declaration().params.get(NODES_PARAM) {
            Some(ParamValue::Integer(_)) => return Ok(()),
            Some(other) => {
                return Err(format!(
                    "its parameter `nodes` is `{other}`, which is no whole number"
                ));
            }
            None => {}
        }
        let tokens = tokens(self.source());
        let meshes: Vec<Option<&Token>> = (0..tokens.len())
            .filter(|place| is_mesh(&tokens, *place))
            .map(|place| nodes_of(&tokens[place..]))
            .collect();
        match meshes.as_slice() {
            [Some(number)] if number.text.parse::<u32>().is_ok() => Ok(()),
            [] => Err(format!("the file itself makes no mesh; {CURE}")),
            [_] => Err(format!("its mesh has no plain number of `nodes`; {CURE}")),
            several => Err(format!(
                "it makes a mesh in {} places, and any of them could be meant; {CURE}",
                several.len()
            )),
        }
    }
}

/// Whether `mesh` is called there.
fn is_mesh(tokens: &[Token], place: usize) -> bool {
    let is = |place: usize, text: &str| tokens.get(place).is_some_and(|token| token.text == text);
    is(place, "mesh") && (is(place + 1, "{") || is(place + 1, "("))
}

/// The value of `nodes` among the options of the call that begins the tokens, if it is one word.
fn nodes_of(tokens: &[Token]) -> Option<&Token> {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "{" => depth += 1,
            ")" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return None;
                }
            }
            "nodes" if tokens.get(at + 1).is_some_and(|next| next.text == "=") => {
                let ends = tokens.get(at + 3).map(|after| after.text.as_str());
                return tokens.get(at + 2).filter(|_| matches!(ends, Some("," | "}" | ";")));
            }
            _ => {}
        }
    }
    None
}
