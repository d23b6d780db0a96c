//! How long naming the sites of a dump takes: `cargo run -p meshlab-profile --example name_heap
//! DUMP`.

use std::{path::Path, time::Instant};

use meshlab_profile::{
    Names,
    heap::{Dump, HeapTable},
};

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("give a dump")?;
    let began = Instant::now();
    let mut dump = Dump::read(Path::new(&path))?;
    println!("read in {:?}", began.elapsed());
    let began = Instant::now();
    dump.resolve(&mut Names::default())?;
    println!("named in {:?}", began.elapsed());
    let table = HeapTable::of(&dump);
    println!("{:.2} % of {} bytes attributed", 100.0 * table.attributed(), table.bytes);
    for row in &table.buckets {
        println!("{:10} {:8} {}", row.bytes, row.blocks, row.bucket);
    }
    for row in table.sites.iter().take(12) {
        println!("{:10} {:8} {} {}", row.bytes, row.blocks, row.bucket, row.site);
    }
    Ok(())
}
