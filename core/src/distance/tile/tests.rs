use super::*;
use proptest::prelude::*;

/// Codes of some vectors, one after another.
fn codes(dim: usize, count: core::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0..=MAX_CODE, dim), count)
}

fn case() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Vec<u8>>)> {
    prop::sample::select(vec![1, 3, 4, 17, 64, 100])
        .prop_flat_map(|dim| (codes(dim, 1..20), codes(dim, 1..90)))
}

fn packed(rows: &[Vec<u8>], columns: &[Vec<u8>]) -> (Vec<i32>, Panels) {
    let dim = rows[0].len();
    let mut words_of_rows = vec![0; rows.len() * words(dim)];
    words_of_rows.chunks_mut(words(dim)).zip(rows).for_each(|(row, codes)| pack_row(codes, row));
    let mut panels = Panels::new(dim);
    panels.fill(columns.iter().map(|codes| (&codes[..], term(codes))));
    (words_of_rows, panels)
}

proptest! {
    #[test]
    fn the_nearest_columns_are_found_with_every_instruction_set((rows, columns) in case(), k in 1usize..=32, own: bool) {
        let (packed_rows, panels) = packed(&rows, &columns);
        for isa in Isa::available() {
            let mut seen = 0;
            Tiles::of(isa).nearest(&packed_rows, &panels, k, own.then_some(0), &mut TileScratch::default(), |i, found| {
                let mut all: Vec<(i32, u32)> = columns
                    .iter()
                    .zip(0..)
                    .filter(|(_, column)| !own || *column as usize != i)
                    .map(|(codes, column)| (square(&rows[i], codes), column))
                    .collect();
                all.sort_unstable();
                let mut nearest: Vec<(i32, u32)> =
                    found.iter().map(|column| (square(&rows[i], &columns[*column as usize]), *column)).collect();
                nearest.sort_unstable();
                assert_eq!(&nearest, &all[..k.min(all.len())], "{isa}, row {i}");
                seen += 1;
            });
            prop_assert_eq!(seen, rows.len());
        }
    }
}

#[test]
fn the_largest_codes_of_the_largest_dimension_do_not_overflow() {
    let dim = crate::error::MAX_DIM;
    let rows = [vec![MAX_CODE; dim], vec![0; dim]];
    let columns = [vec![0; dim], vec![MAX_CODE; dim], vec![MAX_CODE / 2; dim]];
    let (packed_rows, panels) = packed(&rows, &columns);
    for isa in Isa::available() {
        let mut nearest = Vec::new();
        Tiles::of(isa).nearest(&packed_rows, &panels, 1, None, &mut TileScratch::default(), |_, found| {
            nearest.extend_from_slice(found);
        });
        assert_eq!(nearest, [1, 0], "{isa}");
    }
}

#[test]
fn many_columns_are_met_in_blocks() {
    let columns: Vec<Vec<u8>> =
        (0..3 * BLOCK as u32).map(|i| vec![(i * 37 % 128) as u8, (i / 128 % 128) as u8]).collect();
    let rows = vec![vec![64, 3], vec![1, 100]];
    let (packed_rows, panels) = packed(&rows, &columns);
    for isa in Isa::available() {
        Tiles::of(isa).nearest(&packed_rows, &panels, 5, None, &mut TileScratch::default(), |row, found| {
            let mut all: Vec<(i32, u32)> =
                columns.iter().zip(0..).map(|(codes, i)| (square(&rows[row], codes), i)).collect();
            all.sort_unstable();
            let mut found = found.to_vec();
            found.sort_unstable();
            let mut expected: Vec<u32> = all[..5].iter().map(|(_, i)| *i).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{isa}");
        });
    }
}

proptest! {
    #[test]
    fn squares_are_the_same_with_every_instruction_set(
        rows in prop::sample::select(vec![1, 31, 32, 64, 100, 129]).prop_flat_map(|dim| codes(dim, 1..20)),
    ) {
        for isa in Isa::available() {
            let mut squares = Vec::new();
            Tiles::of(isa).squares(&rows[0], rows.iter().map(|row| &row[..]), &mut squares);
            let expected: Vec<i32> = rows.iter().map(|row| square(&rows[0], row)).collect();
            prop_assert_eq!(&squares, &expected, "{}", isa);
        }
    }
}
