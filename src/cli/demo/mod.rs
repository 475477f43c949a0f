//! TEMP
use super::args::Demo;
use super::config::Config;
use super::exit::Failure;
/// .
pub async fn demo(_c: &Config, _a: &Demo) -> Result<(), Failure> {
    Ok(())
}
