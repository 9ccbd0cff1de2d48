"""The search among many texts, compiled by numba; imported only for a pool that is large enough to want it.

A text is a list of token numbers. To count, a pair must have `need[m + n]` tokens in common, in order. What can have
that many is narrowed down, the cheapest test first: a window of lengths; a common token among the rarest of both texts
(of c common ones, one is among the first m - c + 1 in any fixed order); a bound by signatures of 128 bits; and at last
the longest common subsequence itself, 64 query tokens at a time (Hyyro 2004). Each step drops only what cannot count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Words = NDArray[np.uint64]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    """Machine code, kept on disk beside this file or in the user's cache folder where one can be written."""
    try:
        return cast("_Function", numba.njit(cache=True)(function))
    except RuntimeError:
        return cast("_Function", numba.njit(function))


class Texts(NamedTuple):
    """All known texts by position; text p is tokens[starts[p]:starts[p + 1]]."""

    tokens: Int32s
    starts: Int64s


class Static(NamedTuple):
    """The indexed texts, numbered by length (by position among equals)."""

    order: Int32s
    """Position of each."""
    signatures: Words
    """Two words each."""
    by_length: Int64s
    """First number of each length."""
    rarity: Int32s
    """Rank of each token, 0 the rarest, fixed when the index is built."""
    post_starts: Int64s
    """First posting of each rank."""
    posts: Int32s
    """Numbers of the texts that have the token among their rarest, ascending."""
    ranks: NDArray[np.uint8]
    """How many tokens of that text are rarer than this one, at most 255."""


class Scratch(NamedTuple):
    """Memory for one search at a time."""

    slot: Int32s
    """By token: 0, or where its mask lies. All zero between uses."""
    masks: Words
    """Bits of the query's tokens by slot; up to 64 distinct ones at a time, slot 0 stays empty."""
    carries: NDArray[np.bool_]
    """By token of a known text: what is carried from one word to the next."""
    want: Int32s
    """By length of a known text: the common tokens wanted now."""
    keys: Int32s
    """Rarity ranks of the query's tokens, ascending; -1 for those that no indexed text has."""
    best: Int64s
    """Position, common tokens and m + n of the nearest so far; position -1 when there is none."""


class Query(NamedTuple):
    """What is searched for."""

    tokens: Int32s
    """-1 for tokens that no known text has."""
    known: int
    """How many are not."""
    first_word: np.uint64
    second_word: np.uint64


@_compiled
def _popcount(word: np.uint64) -> int:
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))  # type: ignore[return-value]


@_compiled
def _signature(tokens: Int32s) -> tuple[np.uint64, np.uint64]:
    """One of 128 bits for each known token."""
    first, second = np.uint64(0), np.uint64(0)
    for token in tokens:
        if token >= 0:
            place = (np.uint64(token) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(57)
            bit = np.uint64(1) << (place & np.uint64(63))
            if place < np.uint64(64):
                first |= bit
            else:
                second |= bit
    return first, second


@_compiled
def sign(texts: Texts, places: Int32s, signatures: Words) -> None:
    """Write the signatures of the texts at these positions, two words each."""
    for number in range(places.size):
        place = places[number]
        first, second = _signature(texts.tokens[texts.starts[place] : texts.starts[place + 1]])
        signatures[2 * number] = first
        signatures[2 * number + 1] = second


@_compiled
def _bound(query: Query, n: int, first: np.uint64, second: np.uint64) -> int:
    """An upper bound of the tokens in common: a bit that one side lacks is a token of the other without a partner."""
    ours = query.known - _popcount(query.first_word & ~first) - _popcount(query.second_word & ~second)
    theirs = n - _popcount(first & ~query.first_word) - _popcount(second & ~query.second_word)
    return min(ours, theirs)


@_compiled
def _set_masks(tokens: Int32s, scratch: Scratch) -> None:
    """Masks of up to 64 tokens."""
    used = 0
    for place in range(tokens.size):
        token = tokens[place]
        if token >= 0:
            slot = scratch.slot[token]
            if slot == 0:
                used += 1
                slot = used
                scratch.slot[token] = slot
                scratch.masks[slot] = np.uint64(0)
            scratch.masks[slot] |= np.uint64(1) << np.uint64(place)


@_compiled
def _clear_masks(tokens: Int32s, scratch: Scratch) -> None:
    for token in tokens:
        if token >= 0:
            scratch.slot[token] = 0


@_compiled
def _low_zeros(word: np.uint64, bits: int) -> int:
    """How many of the lowest bits are 0."""
    if bits < 64:
        return bits - _popcount(word & ((np.uint64(1) << np.uint64(bits)) - np.uint64(1)))
    return 64 - _popcount(word)


@_compiled
def _common_of_short(m: int, known: Int32s, scratch: Scratch) -> int:
    """The length of the longest common subsequence, for a query of up to 64 tokens whose masks are set."""
    row = ~np.uint64(0)
    for token in known:
        slot = scratch.slot[token]
        if slot != 0:
            hit = row & scratch.masks[slot]
            row = (row + hit) | (row - hit)
    return _low_zeros(row, m)


@_compiled
def _common_of_long(query: Int32s, known: Int32s, scratch: Scratch) -> int:
    """The same for a query of any length: words of 64 tokens one after the other, carries passed on."""
    scratch.carries[: known.size] = False
    common = 0
    for begin in range(0, query.size, 64):
        part = query[begin : begin + 64]
        _set_masks(part, scratch)
        row = ~np.uint64(0)
        for place in range(known.size):
            mask = scratch.masks[scratch.slot[known[place]]]
            hit = row & mask
            carried = np.uint64(1) if scratch.carries[place] else np.uint64(0)
            total = row + hit
            carry = total < row
            row_plus = total + carried
            scratch.carries[place] = carry or row_plus < total
            row = row_plus | (row - hit)
        _clear_masks(part, scratch)
        common += _low_zeros(row, part.size)
    return common


@_compiled
def _common(query: Int32s, known: Int32s, scratch: Scratch) -> int:
    if query.size <= 64:
        return _common_of_short(query.size, known, scratch)
    return _common_of_long(query, known, scratch)


@_compiled
def _f1(common: int, m: int, n: int) -> float:
    """`f1_in_floats`, operation by operation."""
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


@_compiled
def _offer(query: Query, place: int, texts: Texts, wanted: int, floor: float, scratch: Scratch) -> bool:
    """Compare with one text; is it the nearest so far?"""
    known = texts.tokens[texts.starts[place] : texts.starts[place + 1]]
    common = _common(query.tokens, known, scratch)
    if common < wanted:
        return False
    m, n = query.tokens.size, known.size
    best = scratch.best
    if best[0] >= 0:
        ours, theirs = common * best[2], best[1] * (m + n)
        if ours < theirs or (ours == theirs and place > best[0]):
            return False
    if floor >= 0 and _f1(common, n, m) <= floor:
        return False
    best[0] = place
    best[1] = common
    best[2] = m + n
    return True


@_compiled
def _raise_want(m: int, low: int, high: int, scratch: Scratch) -> None:
    """From now on only what is at least as near as the nearest so far."""
    common, total = scratch.best[1], scratch.best[2]
    for n in range(low, high + 1):
        wanted = (common * (m + n) + total - 1) // total
        scratch.want[n] = max(scratch.want[n], np.int32(wanted))


@_compiled
def _rarity_keys(tokens: Int32s, rarity: Int32s, keys: Int32s) -> Int32s:
    """The rarity ranks of the known tokens, rarest first."""
    count = 0
    for token in tokens:
        if token >= 0:
            keys[count] = rarity[token] if token < rarity.size else -1
            count += 1
    keys[:count].sort()
    return keys[:count]


@_compiled
def _search_postings(
    query: Query, texts: Texts, static: Static, low: int, high: int, first: int, floor: float, scratch: Scratch
) -> None:
    """Offer the indexed texts that share one of their rarest tokens with the query's rarest."""
    want = scratch.want
    top = high
    keys = _rarity_keys(query.tokens, static.rarity, scratch.keys)
    for rank in range(keys.size):
        while top >= low and want[top] > keys.size - rank:
            top -= 1
        if top < low:
            break
        key = keys[rank]
        if key < 0 or (rank > 0 and keys[rank - 1] == key):
            continue
        begin, end = static.post_starts[key], static.post_starts[key + 1]
        posts = static.posts[begin:end]
        post = np.searchsorted(posts, static.by_length[low])
        n = low
        for at in range(begin + post, begin + np.searchsorted(posts, static.by_length[top + 1])):
            number = static.posts[at]
            while number >= static.by_length[n + 1]:
                n += 1
            wanted = want[n]
            if static.ranks[at] + wanted > n or rank + wanted > keys.size:
                continue
            if _bound(query, n, static.signatures[2 * number], static.signatures[2 * number + 1]) < wanted:
                continue
            place = static.order[number]
            if place >= first and _offer(query, place, texts, wanted, floor, scratch):
                _raise_want(query.tokens.size, low, high, scratch)


@_compiled
def _search_tail(
    query: Query, texts: Texts, tail: Words, indexed: int, span: tuple[int, int], window: tuple[int, int], floor: float,
    scratch: Scratch,
) -> None:  # fmt: skip
    """Offer the texts at the positions of the span, which are not indexed yet, one after the other."""
    low, high = window
    for place in range(span[0], span[1]):
        n = np.int64(texts.starts[place + 1] - texts.starts[place])
        if n < low or n > high:
            continue
        wanted = scratch.want[n]
        at = 2 * (place - indexed)
        if _bound(query, n, tail[at], tail[at + 1]) < wanted:  # type: ignore[arg-type]
            continue
        if _offer(query, place, texts, wanted, floor, scratch):
            _raise_want(query.tokens.size, low, high, scratch)


@_compiled
def _window(m: int, known: int, longest: int, need: Int32s, want: Int32s) -> tuple[int, int]:
    """The least and greatest length of a text that can have enough in common; `want` is filled for these."""
    low = m
    while low > 1 and need[m + low - 1] <= low - 1:
        low -= 1
    high = low - 1
    while high < longest and need[m + high + 1] <= known:
        high += 1
        want[high] = need[m + high]
    return low, high


@_compiled
def _query(tokens: Int32s) -> Query:
    first, second = _signature(tokens)
    known = 0
    for token in tokens:
        if token >= 0:
            known += 1
    return Query(tokens, known, first, second)


@_compiled
def search(
    tokens: Int32s, ends: Int64s, texts: Texts, static: Static, tail: Words, span: tuple[int, int], need: Int32s,
    floor: float, scratch: Scratch, found: Int64s,
) -> None:  # fmt: skip
    """For each query the nearest text among the positions of `span` that counts, the earliest among equals.

    Query q is tokens[ends[q]:ends[q + 1]]; found[3 q:] becomes its text's position or -1, the common tokens and m + n.
    """
    indexed = static.order.size
    longest = scratch.want.size - 2
    longest_indexed = static.by_length.size - 2
    for at in range(ends.size - 1):
        query = _query(tokens[ends[at] : ends[at + 1]])
        scratch.best[:] = -1
        m = query.tokens.size
        if query.known > 0:
            low, high = _window(m, query.known, longest, need, scratch.want)
            if m <= 64:
                _set_masks(query.tokens, scratch)
            if low <= high:
                begin = max(span[0], indexed)
                _search_tail(query, texts, tail, indexed, (begin, span[1]), (low, high), floor, scratch)
                if span[0] < indexed:
                    reach = min(high, longest_indexed)
                    _search_postings(query, texts, static, low, reach, span[0], floor, scratch)
            if m <= 64:
                _clear_masks(query.tokens, scratch)
        found[3 * at : 3 * at + 3] = scratch.best


@_compiled
def commons(tokens: Int32s, texts: Texts, scratch: Scratch, found: Int32s) -> None:
    """The length of the longest common subsequence with each known text, by position."""
    if tokens.size <= 64:
        _set_masks(tokens, scratch)
    for place in range(found.size):
        known = texts.tokens[texts.starts[place] : texts.starts[place + 1]]
        found[place] = _common(tokens, known, scratch)
    if tokens.size <= 64:
        _clear_masks(tokens, scratch)


@_compiled
def post(texts: Texts, static: Static, least: Int32s, keys: Int32s, next_post: Int64s) -> None:
    """Write the postings, each at the next place of its rank; without room for any, only count them there.

    `least[n]` is the fewest common tokens of a pair that counts with a text of length n.
    """
    for number in range(static.order.size):
        place = static.order[number]
        known = texts.tokens[texts.starts[place] : texts.starts[place + 1]]
        if known.size == 0:
            continue
        sorted_keys = _rarity_keys(known, static.rarity, keys)
        for rank in range(known.size - least[known.size] + 1):
            key = sorted_keys[rank]
            if rank == 0 or key != sorted_keys[rank - 1]:
                if static.posts.size > 0:
                    static.posts[next_post[key]] = number
                    static.ranks[next_post[key]] = min(rank, 255)
                next_post[key] += 1
