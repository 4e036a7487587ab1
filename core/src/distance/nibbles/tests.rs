//! Every kernel that this machine runs, against a definition in f64.

use super::*;
use proptest::prelude::*;

struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// From -1 to 1.
    fn float(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
}

/// A row, and what it stands for.
struct Coded {
    lines: Vec<Line>,
    factors: Factors,
    vector: Vec<f64>,
}

fn coded(layout: Layout, scale: f32, generator: &mut Generator) -> Coded {
    let factors = Factors {
        scale: scale * generator.float().abs(),
        centre: scale * generator.float(),
        bias: generator.float(),
    };
    // Now and then, all codes are the greatest: the largest sums.
    let full = generator.next().is_multiple_of(4);
    let codes: Vec<u8> =
        (0..layout.dim()).map(|_| if full { 15 } else { (generator.next() % 16) as u8 }).collect();
    let mut lines = vec![Line([0.0; 16]); layout.lines()];
    layout.write(&codes, factors, &mut lines);
    let value = |code: &u8| f64::from(factors.centre) + f64::from(factors.scale) * (f64::from(*code) - 7.5);
    Coded { lines, factors, vector: codes.iter().map(value).collect() }
}

/// The masks of a layout, or a query with these bytes.
fn spread(layout: Layout, byte: impl FnMut(usize) -> u8) -> Vec<Line> {
    let mut lines = vec![Line([0.0; 16]); 2 * layout.code_lines()];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut lines);
    (0..layout.dim()).map(byte).enumerate().for_each(|(i, byte)| bytes[layout.place(i)] = byte);
    lines
}

/// The inner product, and the sum of the magnitudes of its terms.
fn product(a: &[f64], b: &[f64]) -> (f64, f64) {
    let products = || a.iter().zip(b).map(|(a, b)| a * b);
    (products().sum(), products().map(f64::abs).sum())
}

#[test]
fn codes_and_factors_share_a_line_up_to_104_components() {
    for (dim, code_lines, lines) in [
        (1, 1, 1),
        (100, 1, 1),
        (104, 1, 1),
        (105, 1, 2),
        (128, 1, 2),
        (129, 2, 2),
        (1000, 8, 8),
        (1024, 8, 9),
    ] {
        let layout = Layout::new(dim);
        assert_eq!((layout.code_lines(), layout.lines()), (code_lines, lines), "{dim}");
    }
}

#[test]
fn a_row_gives_back_its_codes_and_factors() {
    for dim in (1..300).chain([1024]) {
        let layout = Layout::new(dim);
        let codes: Vec<u8> = (0..dim).map(|i| (i * 7 % 16) as u8).collect();
        let factors = Factors { scale: 0.5, centre: -3.0, bias: f32::MAX };
        let mut row = vec![Line([0.0; 16]); layout.lines()];
        layout.write(&codes, factors, &mut row);
        assert_eq!(layout.codes(&row).collect::<Vec<u8>>(), codes);
        assert_eq!(layout.sum(&row), codes.iter().map(|code| u32::from(*code)).sum::<u32>());
        assert_eq!(layout.factors(&row), factors);
        // SAFETY: the row is of this layout.
        assert_eq!(unsafe { super::factors(row.as_ptr(), layout.lines()) }, factors);
        assert_eq!(bytemuck::cast_slice::<Line, u8>(&row)[0] & 15, codes[0]);
        if dim > 1 {
            assert_eq!(bytemuck::cast_slice::<Line, u8>(&row)[0] >> 4, codes[layout.half()]);
        }
    }
}

#[test]
fn distances_have_a_floor() {
    let terms = Terms { base: 1.0, bias: 0.0, weight: -2.0, floor: 0.0 };
    assert_eq!(terms.distance(0.0, 0.25), 0.5);
    assert_eq!(terms.distance(0.0, 3.0), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn kernels_agree_with_the_definition(
        dim in prop_oneof![1usize..=300, Just(1024), Just(65_536)],
        count in 0usize..=21,
        scale in prop::sample::select(vec![1e-6f32, 1.0, 1e14]),
        seed in any::<u64>(),
    ) {
        let layout = Layout::new(dim);
        let mut generator = Generator(seed);
        let rows: Vec<Coded> = (0..count).map(|_| coded(layout, scale, &mut generator)).collect();
        let from = coded(layout, scale, &mut generator);
        let extreme = generator.next().is_multiple_of(4);
        let bytes: Vec<i8> = (0..dim)
            .map(|_| if extreme { 127 } else { (generator.next() % 255) as i8 })
            .collect();
        let query_lines = spread(layout, |i| bytes[i] as u8);
        let masks = spread(layout, |_| 15);
        let step = f64::from(scale) / 127.0;
        let components: Vec<f64> = bytes.iter().map(|byte| f64::from(*byte) * step).collect();
        let terms = Terms { base: 0.5, bias: 3.0, weight: -2.0, floor: f32::MIN };
        let query = Query {
            terms,
            scale: step as f32,
            shift: 7.5 * bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>() as f32,
            total: components.iter().sum::<f64>() as f32,
        };
        let pointers: Vec<*const Line> = rows.iter().map(|row| row.lines.as_ptr()).collect();
        let mut first: Option<(Vec<u32>, Vec<u32>)> = None;
        for isa in Isa::available() {
            let kernels = NibbleKernels::with_isa(dim, isa).unwrap();
            let (mut to_query, mut to_row) = (vec![f32::MAX; count + 1], vec![f32::MAX; count + 1]);
            // SAFETY: query, masks and rows are of the layout of the kernels, and outputs have room.
            unsafe {
                kernels.to_query(query_lines.as_ptr(), &query, &pointers, &mut to_query);
                kernels.to_row(masks.as_ptr(), &terms, from.lines.as_ptr(), &pointers, &mut to_row);
            }
            prop_assert_eq!((to_query.pop(), to_row.pop()), (Some(f32::MAX), Some(f32::MAX)));
            for (i, row) in rows.iter().enumerate() {
                let bias = f64::from(row.factors.bias);
                for (found, left, bias) in [
                    (to_query[i], &components, bias),
                    (to_row[i], &from.vector, bias + f64::from(from.factors.bias)),
                ] {
                    let (product, _) = product(left, &row.vector);
                    let expected = 0.5 + 3.0 * bias - 2.0 * product;
                    // Parts of a product are far larger than the whole if it cancels: codes times bytes, and the centre.
                    let most = |v: &[f64]| v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                    let spread = f64::from(row.factors.scale) * 7.5 + f64::from(row.factors.centre.abs());
                    let left_spread = most(left).max(f64::from(from.factors.scale) * 7.5 + f64::from(from.factors.centre.abs()));
                    let magnitude = dim as f64 * spread * left_spread + bias.abs() + 1.0;
                    let error = (f64::from(found) - expected).abs();
                    prop_assert!(error <= magnitude * 2e-6, "{} {} d: {} for {}", isa, dim, found, expected);
                }
                // Either way round.
                let mut back = [0.0];
                // SAFETY: as above.
                unsafe {
                    kernels.to_row(masks.as_ptr(), &terms, pointers[i], &[from.lines.as_ptr()], &mut back);
                }
                prop_assert_eq!(back[0].to_bits(), to_row[i].to_bits());
            }
            let bits = |distances: Vec<f32>| distances.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
            let found = (bits(to_query), bits(to_row));
            prop_assert_eq!(first.get_or_insert_with(|| found.clone()), &found, "{} differs", isa);
        }
    }
}
