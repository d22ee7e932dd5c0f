//! Before a copy: nothing that we did not make stands where the new indices and their aliases are to be.

use apply::{Claim, connector_id, generation_of};

use super::super::Context;
use crate::failure::Failure;
use crate::planned::Planned;
use crate::source::Source;

/// The number of the first generation after `used` whose names nobody has used. Fails when a name is taken by somebody
/// else, who is named.
pub(in crate::run) async fn free_generation(
    context: &Context,
    source: &Source,
    used: u32,
) -> Result<u32, Failure> {
    let ours = connector_id(&context.system.system_id, &source.info.dbname, &context.owner);
    let is_ours = |claim: &Claim| claim.connector.as_ref() == Some(&ours);
    let mut next = used + 1;
    let mut foreign = Vec::new();
    for one in &context.planned {
        let alias = &one.index.alias;
        let claims = apply::claims(&context.target, alias).await?;
        if let Some(claim) = claims.iter().find(|claim| !is_ours(claim)) {
            return Err(taken(one, alias, claim));
        }
        let of_our_form = apply::claims(&context.target, &format!("{alias}-g*")).await?;
        for claim in of_our_form {
            match generation_of(alias, &claim.index) {
                Some(number) if is_ours(&claim) => next = next.max(number + 1),
                Some(number) => foreign.push((one, number, claim)),
                None => {}
            }
        }
    }
    match foreign.iter().find(|(_, number, _)| *number == next) {
        None => Ok(next),
        Some((one, _, claim)) => Err(taken(one, &claim.index, claim)),
    }
}

fn taken(one: &Planned, name: &str, claim: &Claim) -> Failure {
    let index = &claim.index;
    let what = match name == index {
        true => format!("there is an index {index} already that is not ours"),
        false => format!("the alias {name} leads to the index {index}, which is not ours"),
    };
    let choose = format!("choose another `name` for {} under `indexes`", one.table.name);
    match &claim.connector {
        None => Failure::config(what, format!("{choose}, or remove it")),
        Some(connector) => Failure::config(
            format!("{what}: it is of the connector {connector} (system, database, slot)"),
            format!("{choose}; if that connector is history, DELETE /{index}"),
        ),
    }
}
