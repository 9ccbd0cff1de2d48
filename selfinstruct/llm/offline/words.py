"""The vocabulary that fills the gaps: names, places, things by kind, and sentences composed of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def split_words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


NAMES = split_words(
    """Ada Amir Anika Anton Asha Aydin Beatriz Bela Bruno Carlos Chidi Clara Daria David Dina Eero Elif Elena Emeka
    Esther Farid Femi Freya Gita Goran Greta Hana Hassan Helga Hugo Ida Ilya Imani Ines Ivan Jamal Jana Jonas
    Julia Kaito Karim Keiko Kofi Lars Layla Leila Lena Liam Lucia Maja Malik Mara Marco Marta Mei Mila Mina
    Nadia Naomi Nils Nora Oksana Olga Omar Oscar Paula Pedro Petra Priya Rafael Rania Ravi Rosa Ruth Samir Sanna
    Selma Silas Sofia Stefan Sunil Tariq Tessa Thabo Theo Tomas Uma Vera Viktor Wanda Willem Yara Yusuf Zara Zoe"""
)

PLACES = split_words(
    """Aarhus Accra Ankara Bergen Bilbao Bologna Brno Cork Cusco Dakar Delft Durban Faro Fez Galway Gdansk Ghent
    Graz Haifa Hanoi Izmir Jaipur Kampala Kobe Kyoto Leeds Leipzig Lima Ljubljana Lyon Malmo Maputo Mendoza
    Nairobi Nantes Oaxaca Odense Osaka Oulu Perth Porto Pune Quito Riga Rosario Seville Split Tampere Tartu
    Tbilisi Toledo Trieste Turin Uppsala Utrecht Valencia Vilnius Wroclaw York Zagreb"""
)

THINGS: dict[str, tuple[str, ...]] = {
    "fruits": split_words(
        """apple apricot banana blackberry cherry coconut cranberry date fig grape grapefruit guava kiwi lemon lime
        mango melon nectarine orange papaya peach pear pineapple plum pomegranate quince raspberry strawberry
        tangerine watermelon"""
    ),
    "vegetables": split_words(
        """artichoke asparagus aubergine beetroot broccoli cabbage carrot cauliflower celery chard cucumber fennel
        garlic kale leek lettuce okra onion parsnip pea pepper potato pumpkin radish spinach swede turnip
        zucchini"""
    ),
    "animals": split_words(
        """antelope badger bat bear beaver bison camel cat cheetah cow deer dog dolphin donkey elephant ferret fox
        giraffe goat gorilla hamster hare hedgehog horse hyena kangaroo koala leopard lion llama mole monkey
        moose mouse otter panda pig rabbit raccoon rat seal sheep squirrel tiger walrus weasel whale wolf zebra"""
    ),
    "birds": split_words(
        """blackbird crane crow cuckoo dove duck eagle falcon finch flamingo goose gull hawk heron kingfisher lark
        magpie ostrich owl parrot peacock pelican penguin pigeon raven robin sparrow starling stork swallow swan
        thrush vulture wren"""
    ),
    "tools": split_words(
        """anvil axe chisel clamp crowbar drill gauge hammer hatchet ladder level mallet pickaxe plane pliers rake
        rasp ruler saw screwdriver shovel spade spanner trowel tweezers vice wheelbarrow wrench"""
    ),
    "clothes": split_words(
        """apron beanie belt blouse boots cap cardigan cloak coat dress gloves hat hoodie jacket jeans jumper kilt
        mittens pyjamas sandals sari scarf shirt shorts skirt slippers socks suit sweater tie trousers vest"""
    ),
    "pieces of furniture": split_words(
        """armchair bed bench bookcase bureau cabinet chair chest cot couch cradle cupboard desk drawer dresser
        footstool hammock lamp mattress mirror rug shelf sideboard sofa stool table wardrobe"""
    ),
    "instruments": split_words(
        """accordion banjo bassoon bugle cello clarinet cymbal drum fiddle flute gong guitar harmonica harp
        harpsichord horn lute mandolin oboe organ piano piccolo recorder saxophone sitar tambourine triangle
        trombone trumpet tuba ukulele viola violin xylophone zither"""
    ),
    "spices": split_words(
        """allspice anise basil caraway cardamom chili cinnamon clove coriander cumin dill ginger mace marjoram
        mint mustard nutmeg oregano paprika parsley pepper rosemary saffron sage sesame sumac tarragon thyme
        turmeric vanilla"""
    ),
    "trees": split_words(
        """acacia alder ash aspen baobab beech birch cedar chestnut cypress ebony elder elm fir hawthorn hazel
        hemlock hickory holly juniper larch laurel magnolia maple oak pine poplar redwood rowan spruce sycamore
        walnut willow yew"""
    ),
    "flowers": split_words(
        """aster azalea begonia bluebell buttercup camellia carnation crocus daffodil dahlia daisy foxglove freesia
        gardenia geranium hyacinth iris jasmine lavender lilac lily lotus marigold orchid pansy peony petunia
        poppy primrose rose snowdrop sunflower tulip violet"""
    ),
    "vehicles": split_words(
        """ambulance barge bicycle bus canoe car cart coach dinghy ferry glider helicopter hovercraft kayak lorry
        minibus moped motorbike raft rickshaw sailboat scooter sledge submarine taxi tractor train tram truck
        unicycle van yacht"""
    ),
    "colours": split_words(
        """amber aqua beige black blue bronze brown copper coral cream crimson cyan gold green grey indigo ivory
        khaki lavender magenta maroon mauve navy ochre olive orange peach pink purple red ruby rust scarlet
        silver teal turquoise violet white yellow"""
    ),
    "kitchen things": split_words(
        """blender bowl colander cup fork funnel glass grater jug kettle knife ladle mortar mug oven pan peeler
        plate pot saucepan saucer scale sieve spatula spoon steamer teapot toaster tray whisk wok"""
    ),
    "things for the office": split_words(
        """binder board calculator calendar card chalk clip diary envelope eraser folder glue highlighter ink
        keyboard label laptop marker monitor notebook paper pen pencil pin printer scanner scissors stamp
        stapler sticker tape telephone"""
    ),
    "sports": split_words(
        """archery badminton baseball basketball biathlon bowling boxing canoeing climbing cricket croquet curling
        cycling darts diving fencing football golf gymnastics handball hockey judo karate lacrosse polo rowing
        rugby sailing skating skiing softball squash surfing swimming tennis volleyball wrestling"""
    ),
    "foods": split_words(
        """bagel biscuit bread broth burger burrito butter cake cheese chocolate chutney couscous crepe curry
        dumpling falafel honey hummus jam lasagne muffin noodles omelette pancake pasta pickle pie pizza
        porridge pretzel quiche ravioli rice risotto salad sandwich sausage soup stew sushi taco toast tofu
        waffle yoghurt"""
    ),
    "jobs": split_words(
        """actor architect baker barber butcher carpenter chef clerk cook dentist diver doctor editor electrician
        engineer farmer fisher florist gardener guard judge lawyer librarian mechanic miner nurse painter pilot
        plumber poet porter sailor singer surgeon tailor teacher vet waiter weaver welder writer"""
    ),
    "materials": split_words(
        """aluminium bamboo brass brick canvas cardboard cement clay concrete copper cork cotton denim felt flax
        granite iron lace lead leather linen marble nylon plaster plastic rubber sand silk slate steel stone
        straw tin velvet wax wicker wood wool zinc"""
    ),
    "landforms": split_words(
        """bay beach bluff canyon cape cave cliff coast delta desert dune estuary fjord forest geyser glacier gorge
        gulf harbour hill island lagoon lake marsh meadow mesa mountain oasis peninsula plain plateau pond
        prairie ravine reef ridge river spring steppe strait stream summit swamp valley volcano waterfall
        wetland"""
    ),
}
"""Single words by kind; the key completes "names of"."""

OBJECTS = split_words(
    """badges bags balls bananas batteries beads blankets boards bottles bricks brushes bulbs buttons cakes candles
    cards chairs coins cups cushions eggs envelopes flags flowerpots forks hats helmets jars keys kites ladders
    lamps leaflets lemons marbles melons mugs nails notebooks onions oranges pancakes parcels peaches pears
    pencils pens pies pillows plates posters potatoes puzzles ribbons rolls ropes seedlings shells shirts socks
    spoons stamps stickers stools tickets tiles towels toys tulips umbrellas vases whistles"""
)

BOXES = split_words(
    "bags baskets boxes buckets cartons cases chests crates drawers jars packets sacks shelves trays tubs"
)

WEEKDAYS = split_words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = split_words("January February March April May June July August September October November December")

SHOPS = _lines(
    """
    a bakery
    a bicycle shop
    a bookshop
    a flower stall
    a garden centre
    a hardware store
    a village shop
    a toy shop
    a pottery
    a school kitchen
    a fishmonger
    a small brewery
    a theatre
    a campsite
    a tea house
    a sports club
    a museum
    a farm
    a library
    a print shop
    """
)

EVENTS = _lines(
    """
    the annual picnic
    the book fair
    the chess evening
    the choir rehearsal
    the cookery course
    the flea market
    the garden party
    the harvest supper
    the first-aid course
    the neighbourhood meeting
    the opening of the new library
    the parents' evening
    the pottery workshop
    the quiz night
    the river clean-up
    the summer concert
    the swimming gala
    the table-tennis final
    the tree-planting day
    the writers' circle
    """
)

_WHO = _lines(
    """
    The baker
    The old captain
    My neighbour
    Our teacher
    A young farmer
    The night nurse
    The bus driver
    The postman
    A tired traveller
    The new librarian
    Her grandfather
    The village doctor
    The youngest child
    A quiet student
    The stage manager
    The lighthouse keeper
    Their cousin
    The gardener
    A passing cyclist
    The head cook
    """
)

_DID = _lines(
    """
    opened the wooden gate
    counted the empty baskets
    found a silver coin
    repaired the broken clock
    watered the tomato plants
    wrote a long letter
    painted the kitchen door
    missed the early train
    borrowed a green umbrella
    fed the hungry geese
    carried two heavy suitcases
    baked a lemon cake
    lost a leather glove
    closed the shop
    cleaned the big windows
    told a funny story
    bought fresh bread
    forgot the house keys
    followed the narrow path
    heard a strange noise
    planted an apple tree
    sold the last ticket
    mended the fishing net
    folded the clean towels
    answered every question
    waited for the ferry
    visited the old mill
    watched a grey heron
    packed the picnic basket
    crossed the stone bridge
    """
)

WHEN = _lines(
    """
    before breakfast
    after the storm
    in the early morning
    on a rainy afternoon
    near the harbour
    behind the school
    without saying a word
    during the long break
    at the end of the street
    in the middle of winter
    with great care
    for the second time
    just before midnight
    on the way home
    while the others slept
    at the weekly market
    beside the quiet lake
    as the sun went down
    in front of the theatre
    under the chestnut tree
    """
)


def sentence(rng: random.Random) -> str:
    """A plain sentence in the past tense, ending in a full stop."""
    who = rng.choice(NAMES) if rng.random() < 0.35 else rng.choice(_WHO)
    return f"{who} {rng.choice(_DID)} {rng.choice(WHEN)}."


def clause(rng: random.Random) -> str:
    """A sentence without its full stop."""
    return sentence(rng)[:-1]


def some(rng: random.Random, pool: Sequence[T], low: int, high: int) -> list[T]:
    """Between `low` and `high` different members of the pool."""
    return rng.sample(pool, min(rng.randint(low, high), len(pool)))


def mixed(rng: random.Random, low: int, high: int) -> list[str]:
    """Different words of several kinds."""
    kinds = rng.sample(sorted(THINGS), 3)
    pool = sorted({word for kind in kinds for word in THINGS[kind]})
    return some(rng, pool, low, high)


def of_one_kind(rng: random.Random, low: int, high: int) -> tuple[str, list[str]]:
    """A kind of thing and different words of it."""
    kind = rng.choice(sorted(THINGS))
    return kind, some(rng, THINGS[kind], low, high)


def listed(items: Sequence[str]) -> str:
    """The items with commas between them."""
    return ", ".join(items)


def joined(items: Sequence[str], word: str = "and") -> str:
    """The items as they stand in a sentence: `a, b and c`."""
    return f"{', '.join(items[:-1])} {word} {items[-1]}" if len(items) > 1 else "".join(items)


def items_of(text: str) -> list[str]:
    """The items of a list written with commas; raises ValueError when one is empty."""
    items = [item.strip() for item in text.rstrip(".").split(",")]
    if not all(items):
        raise ValueError(text)
    return items


def article(noun: str) -> str:
    """The noun with `a` or `an` before it."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def plural_s(count: int | str, noun: str) -> str:
    """A number and a regular noun that agree: `1 day`, `3 days`."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {noun}s"
