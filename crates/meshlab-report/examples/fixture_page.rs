//! Draws the made-up run of the tests into the folder that is given.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("give a folder")?;
    let folder = std::path::Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    meshlab_report::draw(&meshlab_report::fixture::run(folder), folder)?;
    Ok(())
}
