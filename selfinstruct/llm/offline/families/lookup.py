"""Small tables of facts and the questions one can ask of them."""

from __future__ import annotations

import random

from selfinstruct.llm.offline.family import Family
from selfinstruct.llm.offline.wording import Params, wordings
from selfinstruct.llm.offline.words import NAMES, joined, some


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines())


COUNTRIES = _rows(
    """
    Algeria | Algiers | Africa
    Angola | Luanda | Africa
    Argentina | Buenos Aires | South America
    Austria | Vienna | Europe
    Belgium | Brussels | Europe
    Bulgaria | Sofia | Europe
    Cambodia | Phnom Penh | Asia
    Canada | Ottawa | North America
    Chile | Santiago | South America
    Colombia | Bogota | South America
    Croatia | Zagreb | Europe
    Cuba | Havana | North America
    Denmark | Copenhagen | Europe
    Ecuador | Quito | South America
    Estonia | Tallinn | Europe
    Ethiopia | Addis Ababa | Africa
    Finland | Helsinki | Europe
    France | Paris | Europe
    Ghana | Accra | Africa
    Greece | Athens | Europe
    Hungary | Budapest | Europe
    Iceland | Reykjavik | Europe
    India | New Delhi | Asia
    Iraq | Baghdad | Asia
    Ireland | Dublin | Europe
    Italy | Rome | Europe
    Jamaica | Kingston | North America
    Japan | Tokyo | Asia
    Jordan | Amman | Asia
    Kenya | Nairobi | Africa
    Latvia | Riga | Europe
    Lithuania | Vilnius | Europe
    Mali | Bamako | Africa
    Mexico | Mexico City | North America
    Mongolia | Ulaanbaatar | Asia
    Morocco | Rabat | Africa
    Nepal | Kathmandu | Asia
    Norway | Oslo | Europe
    Pakistan | Islamabad | Asia
    Panama | Panama City | North America
    Paraguay | Asuncion | South America
    Peru | Lima | South America
    Poland | Warsaw | Europe
    Portugal | Lisbon | Europe
    Romania | Bucharest | Europe
    Senegal | Dakar | Africa
    Serbia | Belgrade | Europe
    Slovenia | Ljubljana | Europe
    Spain | Madrid | Europe
    Sudan | Khartoum | Africa
    Sweden | Stockholm | Europe
    Thailand | Bangkok | Asia
    Tunisia | Tunis | Africa
    Uganda | Kampala | Africa
    Uruguay | Montevideo | South America
    Vietnam | Hanoi | Asia
    Zambia | Lusaka | Africa
    Zimbabwe | Harare | Africa
    """
)

ELEMENTS = _rows(
    """
    hydrogen | H | 1
    helium | He | 2
    lithium | Li | 3
    beryllium | Be | 4
    boron | B | 5
    carbon | C | 6
    nitrogen | N | 7
    oxygen | O | 8
    fluorine | F | 9
    neon | Ne | 10
    sodium | Na | 11
    magnesium | Mg | 12
    aluminium | Al | 13
    silicon | Si | 14
    phosphorus | P | 15
    sulphur | S | 16
    chlorine | Cl | 17
    argon | Ar | 18
    potassium | K | 19
    calcium | Ca | 20
    iron | Fe | 26
    nickel | Ni | 28
    copper | Cu | 29
    zinc | Zn | 30
    silver | Ag | 47
    tin | Sn | 50
    iodine | I | 53
    gold | Au | 79
    mercury | Hg | 80
    lead | Pb | 82
    """
)

ANIMALS = _rows(
    """
    bear | cub | den
    bee | larva | hive
    cat | kitten | house
    cow | calf | byre
    deer | fawn | forest
    dog | puppy | kennel
    duck | duckling | pond
    eagle | eaglet | eyrie
    fox | cub | den
    frog | tadpole | pond
    goat | kid | shed
    goose | gosling | farmyard
    hare | leveret | form
    hen | chick | coop
    horse | foal | stable
    kangaroo | joey | grassland
    lion | cub | den
    owl | owlet | hollow tree
    pig | piglet | sty
    rabbit | kit | burrow
    seal | pup | coast
    sheep | lamb | fold
    swan | cygnet | lake
    """
)

PLANETS = ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")

_CAPITAL = {row[0]: row[1] for row in COUNTRIES}
_COUNTRY = {row[1]: row[0] for row in COUNTRIES}
_CONTINENT = {row[0]: row[2] for row in COUNTRIES}
_SYMBOL = {row[0]: row[1] for row in ELEMENTS}
_ELEMENT = {row[1]: row[0] for row in ELEMENTS}
_ATOM = {row[0]: row[2] for row in ELEMENTS}
_YOUNG = {row[0]: row[1] for row in ANIMALS}

_UNITS = ("Africa", "Asia", "Europe", "North America", "South America")


def _draw(rng: random.Random) -> Params:
    return {
        "countries": joined(some(rng, sorted(_CAPITAL), 3, 5)), "elements": joined(some(rng, sorted(_SYMBOL), 3, 5)),
        "animals": joined(some(rng, sorted(_YOUNG), 3, 5)), "planets": joined(some(rng, PLANETS, 3, 6)),
        "who": rng.choice(NAMES), "continent": rng.choice(_UNITS), "symbols": joined(some(rng, sorted(_ELEMENT), 3, 5)),
    }  # fmt: skip


def _each(table: dict[str, str], names: str, line: str) -> str:
    return "\n".join(line.format(name=name, value=table[name]) for name in names.replace(" and ", ", ").split(", "))


def _planets(p: Params, _: str) -> str:
    names = p["planets"].replace(" and ", ", ").split(", ")
    return joined(sorted(names, key=PLANETS.index))


def _on_continent(p: Params, _: str) -> str:
    names = p["countries"].replace(" and ", ", ").split(", ")
    found = [name for name in names if _CONTINENT[name] == p["continent"]]
    return joined(found) if found else f"None of them is in {p['continent']}."


def _neighbours(p: Params, text: str) -> str:
    at = PLANETS.index(text) + (1 if p["side"] == "farther from" else -1)
    if not 0 <= at < len(PLANETS):
        return "There is none."
    return PLANETS[at]


def _by_number(p: Params, _: str) -> str:
    names = p["elements"].replace(" and ", ", ").split(", ")
    return joined([f"{name} ({_ATOM[name]})" for name in sorted(names, key=lambda name: int(_ATOM[name]))])


FAMILIES = (
    Family(
        "capitals",
        wordings(
            "[What are|Name|List] the capitals of {countries}, one on each line.",
            "{who:word} is preparing a geography quiz about {countries}. Give the capital of every country.",
            "For a letter to the embassies of {countries}, I need to know the capital of each country.",
        ),
        _draw,
        lambda p, _: _each(_CAPITAL, p["countries"], "{name}: {value}"),
        weight=2,
    ),
    Family(
        "capital",
        wordings("What is the capital of this country?", "Name the capital city of the country in the input."),
        lambda _: {},
        lambda _, text: _CAPITAL[text],
        lambda _, rng: rng.choice(sorted(_CAPITAL)),
        weight=0.5,
    ),
    Family(
        "country_of_capital",
        wordings(
            "Of which country is the city the capital?",
            "Match a capital city with its country and answer with the country's name.",
        ),
        lambda _: {},
        lambda _, text: _COUNTRY[text],
        lambda _, rng: rng.choice(sorted(_COUNTRY)),
        weight=0.5,
    ),
    Family(
        "on_continent",
        wordings(
            "Which of {countries} [lie|are] in {continent}?",
            "A traveller has stamps from {countries} in her passport. Which of these countries belong to {continent}?",
        ),
        _draw,
        _on_continent,
        weight=2,
    ),
    Family(
        "continent",
        wordings(
            "On which continent is the country: Africa, Asia, Europe, North America or South America?",
            "[Assign|Match] the country to its continent (Africa, Asia, Europe, North America, South America).",
        ),
        lambda _: {},
        lambda _, text: _CONTINENT[text],
        lambda _, rng: rng.choice(sorted(_CONTINENT)),
        lambda _: _UNITS,
    ),
    Family(
        "symbols",
        wordings(
            "Write the chemical symbols of {elements}, each after the name of the element.",
            "What symbols do chemists use for {elements}? Put one on each line.",
        ),
        _draw,
        lambda p, _: _each(_SYMBOL, p["elements"], "{name}: {value}"),
        weight=1.5,
    ),
    Family(
        "elements",
        wordings(
            "Which elements have the symbols {symbols}? List them.",
            "{who:word} found jars marked {symbols} in the laboratory. Say what each mark stands for.",
        ),
        _draw,
        lambda p, _: _each(_ELEMENT, p["symbols"], "{name}: {value}"),
        weight=1.5,
    ),
    Family(
        "atomic_numbers",
        wordings(
            "[Sort|Arrange] {elements} by atomic number and put the number in brackets after each.",
            "In which order do {elements} come in the periodic table? Add their atomic numbers.",
        ),
        _draw,
        _by_number,
        weight=1.5,
    ),
    Family(
        "young_animals",
        wordings(
            "What are the young of these animals called: {animals}?",
            "For a children's book, give the name of the young of each animal, one a line: {animals}",
        ),
        _draw,
        lambda p, _: _each(_YOUNG, p["animals"], "{name}: {value}"),
        weight=1.5,
    ),
    Family(
        "planet_order",
        wordings(
            "[Put|Place] {planets} in order of their distance from the sun, nearest first.",
            "A probe leaves the sun and passes the orbits of {planets}. In what order?",
        ),
        _draw,
        _planets,
    ),
    Family(
        "next_planet",
        wordings(
            "Which planet is the next one {side} the sun than the given planet?",
            "Name the planet whose orbit lies directly {side} the sun compared with the one you are given.",
        ),
        lambda rng: {"side": rng.choice(("closer to", "farther from"))},
        _neighbours,
        lambda _, rng: rng.choice(PLANETS),
        weight=0.5,
    ),
)
