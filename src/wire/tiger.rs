//! Tiger (R. Anderson and E. Biham, "Tiger: A Fast New Hash Function", 1996), several messages at a time.
//!
//! Each step of Tiger waits for look-ups that the step before decided, so that a processor is idle most of the
//! time. A tree has many leaves that do not wait for each other: here the steps of [`LANES`] of them take turns,
//! which is nearly twice as fast. It is the original Tiger, whose padding begins with 0x01, and only what a Tiger
//! tree needs of it: leaves behind a byte 0x00 and pairs of nodes behind a byte 0x01.

use super::{LEAF, Tth};

/// Messages whose steps take turns. With two a processor still waits; four no longer fit its registers.
const LANES: usize = 3;

type State = [u64; 3];
type Block = [u64; 8];
/// The four tables, one behind the other: they share a base register.
type Boxes = [u64; 4 * 256];

const START: State = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0xf096_a5b4_c3b2_e187];
static BOXES: Boxes = generate(b"Tiger - A Fast New Hash Function, by Ross Anderson and Eli Biham", 5);

/// The hashes of whole leaves, in their order.
pub(super) fn leaves(leaves: &[[u8; LEAF]]) -> Vec<Tth> {
    let mut out = Vec::with_capacity(leaves.len());
    let (groups, rest) = leaves.as_chunks::<LANES>();
    groups.iter().for_each(|group| out.extend(whole_leaves(group)));
    rest.iter().for_each(|leaf| out.extend(whole_leaves(std::array::from_ref(leaf))));
    out
}

/// The hash of a leaf that may be shorter than others.
pub(super) fn leaf(bytes: &[u8]) -> Tth {
    debug_assert!(bytes.len() <= LEAF);
    let length = bytes.len().min(LEAF) + 1;
    // The prefix, the bytes, the end mark, and the length in bits at the end of the last block.
    let mut message = [0; LEAF + 64];
    message[1..length].copy_from_slice(&bytes[..length - 1]);
    message[length] = 0x01;
    let (blocks, _) = message.as_chunks::<64>();
    let count = (length + 9).div_ceil(64);
    let mut states = [START];
    for (i, block) in blocks[..count].iter().enumerate() {
        let mut words = words(block);
        if i + 1 == count {
            words[7] = length as u64 * 8;
        }
        compress(&BOXES, &mut states, &mut [words]);
    }
    digest(states[0])
}

/// The hashes of pairs of nodes, in their order.
pub(super) fn pairs(pairs: &[[Tth; 2]]) -> Vec<Tth> {
    let mut out = Vec::with_capacity(pairs.len() + 1);
    let (groups, rest) = pairs.as_chunks::<LANES>();
    groups.iter().for_each(|group| out.extend(joined(group)));
    rest.iter().for_each(|pair| out.extend(joined(std::array::from_ref(pair))));
    out
}

fn joined<const N: usize>(pairs: &[[Tth; 2]; N]) -> [Tth; N] {
    let mut states = [START; N];
    let mut blocks = pairs.each_ref().map(|[left, right]| {
        let mut message = [0; 64];
        message[0] = 0x01;
        message[1..25].copy_from_slice(&left.0);
        message[25..49].copy_from_slice(&right.0);
        message[49] = 0x01;
        let mut words = words(&message);
        words[7] = 49 * 8;
        words
    });
    compress(&BOXES, &mut states, &mut blocks);
    states.map(digest)
}

fn whole_leaves<const N: usize>(leaves: &[[u8; LEAF]; N]) -> [Tth; N] {
    let mut states = [START; N];
    for number in 0..=LEAF / 64 {
        let mut blocks = leaves.each_ref().map(|leaf| leaf_block(leaf, number));
        compress(&BOXES, &mut states, &mut blocks);
    }
    states.map(digest)
}

/// One block of a whole leaf behind its prefix 0x00, which moves all bytes by one.
#[inline(always)]
fn leaf_block(leaf: &[u8; LEAF], number: usize) -> Block {
    const LAST: usize = LEAF / 64;
    match number {
        0 => {
            let mut message = [0; 64];
            message[1..].copy_from_slice(&leaf[..63]);
            words(&message)
        }
        LAST => [u64::from(leaf[LEAF - 1]) | 0x01 << 8, 0, 0, 0, 0, 0, 0, (LEAF as u64 + 1) * 8],
        _ => {
            let mut message = [0; 64];
            message.copy_from_slice(&leaf[number * 64 - 1..][..64]);
            words(&message)
        }
    }
}

#[inline(always)]
fn words(block: &[u8; 64]) -> Block {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

fn digest(state: State) -> Tth {
    let mut bytes = [0; 24];
    for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(state) {
        *bytes = word.to_le_bytes();
    }
    Tth(bytes)
}

/// The compression function, for `N` states at once. What is left of `blocks` means nothing.
#[inline(always)]
const fn compress<const N: usize>(boxes: &Boxes, states: &mut [State; N], blocks: &mut [Block; N]) {
    let before = *states;
    pass::<N, 0, 1, 2, 5>(boxes, states, blocks);
    schedule(blocks);
    pass::<N, 2, 0, 1, 7>(boxes, states, blocks);
    schedule(blocks);
    pass::<N, 1, 2, 0, 9>(boxes, states, blocks);
    let mut n = 0;
    while n < N {
        states[n][0] ^= before[n][0];
        states[n][1] = states[n][1].wrapping_sub(before[n][1]);
        states[n][2] = states[n][2].wrapping_add(before[n][2]);
        n += 1;
    }
}

/// Eight rounds. Which registers play a, b and c is known when compiling, so that nothing is moved.
#[inline(always)]
const fn pass<const N: usize, const A: usize, const B: usize, const C: usize, const MUL: u64>(
    boxes: &Boxes,
    states: &mut [State; N],
    blocks: &[Block; N],
) {
    round::<N, A, B, C, MUL>(boxes, states, blocks, 0);
    round::<N, B, C, A, MUL>(boxes, states, blocks, 1);
    round::<N, C, A, B, MUL>(boxes, states, blocks, 2);
    round::<N, A, B, C, MUL>(boxes, states, blocks, 3);
    round::<N, B, C, A, MUL>(boxes, states, blocks, 4);
    round::<N, C, A, B, MUL>(boxes, states, blocks, 5);
    round::<N, A, B, C, MUL>(boxes, states, blocks, 6);
    round::<N, B, C, A, MUL>(boxes, states, blocks, 7);
}

#[inline(always)]
const fn round<const N: usize, const A: usize, const B: usize, const C: usize, const MUL: u64>(
    boxes: &Boxes,
    states: &mut [State; N],
    blocks: &[Block; N],
    word: usize,
) {
    let mut n = 0;
    while n < N {
        let state = &mut states[n];
        let c = state[C] ^ blocks[n][word];
        let even = at(boxes, 0, c) ^ at(boxes, 1, c >> 16) ^ at(boxes, 2, c >> 32) ^ at(boxes, 3, c >> 48);
        let odd = at(boxes, 3, c >> 8) ^ at(boxes, 2, c >> 24) ^ at(boxes, 1, c >> 40) ^ at(boxes, 0, c >> 56);
        state[C] = c;
        state[A] = state[A].wrapping_sub(even);
        state[B] = state[B].wrapping_add(odd).wrapping_mul(MUL);
        n += 1;
    }
}

/// What a table has for the lowest byte of `c`. The index is in bounds whatever `c` is.
#[inline(always)]
const fn at(boxes: &Boxes, table: usize, c: u64) -> u64 {
    boxes[table * 256 + (c as u8) as usize]
}

/// The key schedule, which makes the next pass's words of those of the last.
#[inline(always)]
const fn schedule<const N: usize>(blocks: &mut [Block; N]) {
    let mut n = 0;
    while n < N {
        let x = &mut blocks[n];
        x[0] = x[0].wrapping_sub(x[7] ^ 0xa5a5_a5a5_a5a5_a5a5);
        x[1] ^= x[0];
        x[2] = x[2].wrapping_add(x[1]);
        x[3] = x[3].wrapping_sub(x[2] ^ (!x[1] << 19));
        x[4] ^= x[3];
        x[5] = x[5].wrapping_add(x[4]);
        x[6] = x[6].wrapping_sub(x[5] ^ (!x[4] >> 23));
        x[7] ^= x[6];
        x[0] = x[0].wrapping_add(x[7]);
        x[1] = x[1].wrapping_sub(x[0] ^ (!x[7] << 19));
        x[2] ^= x[1];
        x[3] = x[3].wrapping_add(x[2]);
        x[4] = x[4].wrapping_sub(x[3] ^ (!x[2] >> 23));
        x[5] ^= x[4];
        x[6] = x[6].wrapping_add(x[5]);
        x[7] = x[7].wrapping_sub(x[6] ^ 0x0123_4567_89ab_cdef);
        n += 1;
    }
}

/// The tables, by the procedure that the authors published: each column begins as the identity, and Tiger
/// itself, with the tables as they are so far, hashes `text` again and again; the bytes of its state tell which
/// two entries of a column change places.
#[allow(long_running_const_eval, reason = "1,707 compressions take the compiler half a second")]
const fn generate(text: &[u8; 64], passes: usize) -> Boxes {
    let mut block = [0; 8];
    let mut i = 0;
    while i < 64 {
        block[i / 8] |= (text[i] as u64) << (8 * (i % 8));
        i += 1;
    }
    let mut boxes = [0; 4 * 256];
    i = 0;
    while i < boxes.len() {
        boxes[i] = (i as u64 % 256) * 0x0101_0101_0101_0101;
        i += 1;
    }
    let mut states = [START];
    // Swaps done: each is led by one word of the state, and after three of them the state is stirred.
    let mut swaps = 0;
    while swaps < passes * boxes.len() {
        if swaps % 3 == 0 {
            compress(&boxes, &mut states, &mut [block]);
        }
        let (row, table) = (swaps / 4 % 256, swaps % 4 * 256);
        let mut column = 0;
        while column < 64 {
            let other = table + (states[0][swaps % 3] >> column & 0xff) as usize;
            let differ = (boxes[table + row] ^ boxes[other]) & (0xff << column);
            boxes[table + row] ^= differ;
            boxes[other] ^= differ;
            column += 8;
        }
        swaps += 1;
    }
    boxes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tiger::{Digest, Tiger};

    use super::*;

    fn reference(prefix: u8, parts: &[&[u8]]) -> Tth {
        let tiger = parts.iter().fold(Tiger::new_with_prefix([prefix]), |tiger, part| tiger.chain_update(part));
        Tth(tiger.finalize().into())
    }

    #[test]
    fn leaves_of_any_length_are_hashed_as_the_crate_hashes_them() {
        let bytes: Vec<u8> = (0..LEAF as u32).map(|i| ((i * 7) >> 2) as u8).collect();
        for length in 0..=LEAF {
            assert_eq!(leaf(&bytes[..length]), reference(0, &[&bytes[..length]]), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn lanes_do_not_mind_each_other(bytes in proptest::collection::vec(any::<u8>(), 0..9 * LEAF)) {
            let (whole, rest) = bytes.as_chunks::<LEAF>();
            let expected: Vec<Tth> = whole.iter().map(|leaf| reference(0, &[leaf])).collect();
            prop_assert_eq!(leaves(whole), expected.clone());
            prop_assert_eq!(leaf(rest), reference(0, &[rest]));
            let (twos, _) = expected.as_chunks::<2>();
            let joined: Vec<Tth> = twos.iter().map(|[left, right]| reference(1, &[&left.0, &right.0])).collect();
            prop_assert_eq!(pairs(twos), joined);
        }
    }
}
