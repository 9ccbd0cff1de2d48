"""English words that tell where a request begins and where its object ends."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _listed(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(" ".join(one.split()) for one in text.split(separator))


VERBS = _words(
    """abbreviate abstract accept access account achieve acknowledge act adapt add address adjust advise advocate aid
    alert align allocate alphabetize alter amend analyze animate annotate announce answer anticipate apologize append
    apply appraise approach argue arrange articulate ask assemble assess assign assist assume attach attempt audit
    augment author automate award balance base begin bind blend book boil boost brainstorm break brief bring browse
    build bullet calculate call capitalize caption capture carry cast catalog categorize change characterize chart check
    choose chronicle circle cite clarify classify clean clear close cluster coach code collaborate collate collect color
    combine come comment communicate compare compile complete comply compose compress compute conceive conceptualize
    conclude condense conduct configure confirm connect consider consolidate construct consult contact continue contrast
    contribute convert convey convince cook coordinate copy correct count counter cover craft create critique cross
    cure curate cut date debate debug decide decipher declare decline decode deconstruct decorate decrypt deduce define
    delete deliver demonstrate demystify depict derive describe design detail detect determine develop devise diagnose
    diagram dictate differentiate direct disassemble discern discover discuss display disprove dissect distill
    distinguish divide do document double draft dramatize draw drop edit educate elaborate elicit eliminate emphasize
    employ emulate encode encourage encrypt end engage engineer enhance enlarge enlist ensure enumerate envision
    establish estimate evaluate examine exchange exclude execute exemplify exhibit expand experiment explain explore
    expose express extend extract fabricate facilitate fact-check factor fashion figure file fill filter finalize find
    finish fix flag flesh flip fold follow forecast forge form format formulate frame gather gauge generalize generate
    get give go grade graph greet group grow guess guide handle help highlight host hypothesize identify illuminate
    illustrate imagine imitate implement import improve improvise include incorporate increase index indicate infer
    inform initiate insert inspect inspire install instruct integrate interact interpret interview introduce invent
    invert investigate invite isolate itemize join jot judge justify juxtapose keep label launch lay lead learn leave
    lend let lighten link list listen load localize locate log look lower maintain make manage manipulate map mark
    match maximize measure mediate memorize mend mention merge mimic minimize mix model moderate modernize modify
    monitor motivate move multiply name narrate negotiate normalize note notify number observe obtain offer omit open
    optimize orchestrate order organize outline output overview paint pair paraphrase parody parse paste
    perform personalize persuade phrase pick pinpoint pitch place plan play plot point polish ponder port portray pose
    post praise predict prepare present pretend preview price print prioritize produce profile program project
    promote prompt proofread propose prove provide pull punctuate put qualify quantify query question quote raise
    randomize rank rate rationalize re-write reach react read rearrange reason recall recap recast recite
    recognize recommend reconcile reconstruct record recount recreate redesign redraft reduce refactor refer refine
    reflect reformat reformulate refute rehearse reimagine relate remark remind remove rename render reorder reorganize
    repair repeat rephrase replace reply report represent reproduce request research resolve respond restate restore
    restructure resume retell retrieve return reveal reverse review revise rewrite reword rhyme role-play roleplay round
    run sample say scan schedule score script search segment select send separate sequence set settle shape share
    shorten show shuffle simplify simulate sing sketch skim soften solve sort speak specify speculate spell split spot
    standardize start state stitch strategize streamline strengthen strip structure study style subdivide submit
    subtract suggest sum summarize supply support suppose surmise survey swap switch synthesize tabulate tag tailor take
    talk teach tell test thank think tidy tie tighten total touch trace track transcribe transform translate transpose
    treat trim troubleshoot tune turn tweak unpack unscramble update upgrade undo urge use utilize validate value vary
    verify view visualize voice wait walk warn weigh welcome word work wrap write"""
)
"""Base forms that a request may begin with."""

AUXILIARIES = _words(
    """is are was were am be do does did has have had can could will would shall should may might must ought isn't
    aren't wasn't weren't don't doesn't didn't can't couldn't won't wouldn't shouldn't"""
)
QUESTIONS = _words("what which who whom whose when where why how what's who's where's how's")
DETERMINERS = _words(
    """a an the this that these those my your our their its his her each every all any some both another no either
    neither such"""
)
NUMBERS = _words(
    """one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty fifty hundred several many
    few multiple various numerous most more less least half first second third fourth fifth last top"""
)
PRONOUNS = _words(
    """i we you he she it they me us him them someone somebody anyone everyone everybody nobody yourself myself itself
    themselves himself herself one's who there here"""
)
NO_OBJECT = _words("it them him her me us you yourself itself themselves ones so something anything everything")
"""Words that stand for a noun and name none."""
PREPOSITIONS = _words(
    """about above across after against along among amongst around as at before behind below beneath beside besides
    between beyond by concerning considering despite during except excluding featuring following for from given in
    including inside into like near of off on onto outside over past per regarding since so through throughout to toward
    towards under underneath unlike until unto up upon using via versus vs with within without out down back together
    aloud apart"""
)
CONJUNCTIONS = _words("and or but nor yet than then if because while whereas although though unless whether plus etc")
RELATIVES = QUESTIONS | {"that"}
PARTICLES = _words("up out down off over back together through away")
"""Words that may belong to the verb before them: work out, come up with, fill in."""
ADVERBS = _words("always never often ever still already also most best not really just even only")
BE = _words("is are was were")
INVERTING = _words("do does did can could will would shall should may might must don't doesn't didn't can't won't")
"""Auxiliaries after which a subject and then its verb follow in a question."""
OTHER_VERBS = _words(
    """float sink rise fall happen cost belong grow mean matter come go live die eat drink fly swim sleep pay earn need
    want like feel become turn last stay remain fit take cause lead protect affect influence impact differ vary agree
    disagree"""
)
"""Base forms that a question may end with, and a request hardly begins with."""
PAST = _words(
    "set made held built sent seen known told taken given written chosen spoken driven drawn found left kept present"
)
LINKS = _words("to at on of for with about into upon as from")
"""Prepositions whose object counts as that of the verb before them: reply to, look at, think of."""
POLITE = _words("please kindly now next then first also finally just simply and so ok okay hello hi hey well")
LEADS = _words(
    """given using based considering according assuming suppose imagine if when whenever while once as for in on from
    with without before after during to at by into under among between through because since regarding unless until
    whether of within following over both instead here today running"""
)
"""Words that open what comes before a request, up to a comma."""
ADJECTIVES = _words(
    """short long new old good bad best better great big small little large tiny huge main key major minor single simple
    brief clear concise full whole entire complete original own same other different similar specific general common
    current recent modern ancient early late next previous final important useful fun funny happy sad dark light warm
    cold hot cool fresh healthy easy hard difficult quick fast slow strong weak high low deep free open safe secure
    formal informal polite friendly kind nice perfect proper correct right wrong true false real fake basic advanced
    daily weekly monthly yearly annual rough smooth rare random unique famous well-known young local global public
    private green red blue black white bold brave bright calm clever creepy cute dramatic eerie vivid epic honest
    plain polished rude sharp sweet tense tragic urgent witty absurd adult average blank certain chosen given
    spooky cozy busy lazy sleepy tasty extra actual alternative opposite largest smallest biggest longest shortest
    highest lowest oldest newest latest best worst easiest hardest cheapest fastest slowest closest nearest greatest"""
)
ADJECTIVE_ENDINGS = ("al", "ive", "ous", "ful", "ic", "able", "ible", "less", "ly", "ish", "ary", "ant", "ent", "y")
NOT_ADJECTIVES = _words(
    """proposal goal meal journal material signal hospital animal capital festival manual tutorial editorial total trial
    ritual crystal metal portal professional rental removal arrival approval referral recital mural narrative
    perspective alternative motive objective archive initiative incentive detective directive native topic music fabric
    metric logic comic lyric statistic characteristic graphic infographic critic epic mechanic public clinic
    arithmetic traffic table timetable variable vegetable syllable cable deliverable family reply supply assembly
    anomaly summary dictionary vocabulary library diary commentary itinerary salary anniversary glossary boundary
    documentary story poetry essay country city activity policy strategy company story history theory melody comedy
    tragedy fantasy biography autobiography summary query directory category inventory survey key journey money day
    birthday holiday way survey play display essay array inquiry enquiry survey recovery delivery discovery gallery
    battery grocery study copy party body economy society community university identity priority security safety
    property quantity quality personality ability reality charity facility opportunity university century memory
    territory victory factory laboratory category mystery bakery nursery surgery lottery remedy entry industry ministry
    chemistry apology analogy technology methodology philosophy psychology allegory parody itinerary currency agency
    emergency frequency efficiency policy privacy legacy therapy philosophy salary army enemy energy allergy surgery
    plant restaurant assistant applicant tenant elephant consultant merchant pageant student agent document argument
    statement paragraph event content comment component element segment experiment agreement announcement advertisement
    assessment assignment department development environment equipment government improvement investment management
    moment movement parent patient payment president recruitment sentiment treatment tournament client accident
    incident ingredient gradient continent present accent percent testament cent tent talent scent complement
    compliment apartment appointment instrument requirement environment judgment judgement punishment achievement
    adjustment engagement entertainment excitement involvement measurement retirement settlement shipment supplement
    quotient coefficient participant contestant protagonist antagonist restaurant infant giant variant constant
    equivalent girl boy baby lady sky money joy toy ray bay"""
)
"""Nouns that end like adjectives."""
GERUND_NOUNS = _words(
    """training marketing planning meeting building writing cooking pricing learning greeting engineering wedding
    housing funding ending heading opening setting painting drawing meaning understanding spelling feeling morning
    evening clothing string thing king ring spring wing reading banking branding networking processing programming
    recycling gardening parenting onboarding budgeting fundraising advertising accounting hearing listing posting
    briefing saving shipping parking dressing ranking rating finding beginning warning lighting timing binding mapping
    logging testing nothing something everything anything feed need seed speed breed weed bed sled shed greed deed bread
    thread spread head offering gathering recording reasoning thinking programming scheduling shopping
    bearing pudding sibling outing story-telling storytelling"""
)
"""Nouns that end like participles."""
ENGLISH = _words(
    """the of and to for with is are what how this that from it your you about which an a into by these those should
    does do can write"""
)
"""A text in Latin letters without any of these, and without a known verb in front, is taken for another language."""
IRREGULAR = {
    "people": "person", "children": "child", "men": "man", "women": "woman", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "lives": "life", "leaves": "leaf", "knives": "knife", "wives": "wife", "halves": "half",
    "shelves": "shelf", "analyses": "analysis", "hypotheses": "hypothesis", "theses": "thesis", "crises": "crisis",
    "criteria": "criterion", "phenomena": "phenomenon", "movies": "movie", "cookies": "cookie", "ties": "tie",
    "recipes": "recipe", "emails": "email", "e-mail": "email", "e-mails": "email", "quizzes": "quiz",
    "heroes": "hero", "potatoes": "potato", "tomatoes": "tomato", "indices": "index",
}  # fmt: skip
UNCHANGED = _words(
    """series species news pros cons mathematics physics economics ethics politics headquarters lens bus gas bias atlas
    canvas"""
)
REQUESTS = _listed(
    """adapt advise analyze annotate apologize argue arrange assess brainstorm calculate categorize check choose
    classify combine compare complete compose compute convert correct count critique debate debug decide
    decode deduce define describe design detect determine diagnose edit estimate evaluate expand explain
    extract find fix forecast format give guess identify imagine infer interpret invent judge justify label
    list match merge name negotiate number order organize outline paraphrase persuade plan predict
    prioritize prove question rank rate recommend reformat replace reply rewrite shorten simplify solve sort
    split suggest summarize tell transform translate verify why how which"""
)
"""Verbs and question words that requests in English often begin with."""
TOPICS = _listed(
    """accounting, agriculture, animals, archaeology, architecture, art history, astronomy, baking, banking,
    bicycles, biology, birds, board games, bookshops, bridges, budgeting, building sites, cars, chemistry,
    childcare, choirs, cinema, climate, clothing, coffee, concerts, contracts, cycling, dance, databases,
    dentistry, diplomacy, economics, elections, electricity, emergency services, energy, farming, fashion,
    festivals, film, first aid, fishing, folklore, forestry, furniture, gardening, genealogy, geography,
    geology, grammar, hairdressing, hiking, history, hotels, housing, insurance, invoices, jewellery, job
    interviews, journalism, kitchens, landlords and tenants, languages, law, libraries, logic puzzles, maps,
    markets, mathematics, medicine, meetings, museums, music theory, mythology, navigation, neighbours,
    nursing, nutrition, oceans, painting, parcels, parenting, pets, pharmacies, philosophy, photography,
    physics, plumbing, poetry, police work, pottery, probability, programming, proverbs, psychology, public
    transport, railways, recycling, refugees, repairs, restaurants, retirement, safety at work, sailing,
    schools, sculpture, sewing, shopping, sleep, soil, spreadsheets, sports clubs, statistics, swimming,
    taxes, telephones, tennis, textiles, theatre, tourism, town councils, toys, traffic, universities,
    vegetables, volunteering, weather, weddings, wildlife, wine, woodwork, zoos""",
    ",",
)
"""What tasks in English may be about, where nobody named topics."""

# Sets made of the above, once.
OPENS_PHRASE = DETERMINERS | NUMBERS | PRONOUNS
COUNTS = DETERMINERS | NUMBERS
NO_VERB = (
    DETERMINERS | NUMBERS | PRONOUNS | PREPOSITIONS | CONJUNCTIONS | QUESTIONS | AUXILIARIES | ADJECTIVES
)  # fmt: skip
ENDS_ANY_PHRASE = RELATIVES | CONJUNCTIONS | NO_OBJECT | AUXILIARIES
ENDS_STARTED_PHRASE = DETERMINERS | ADVERBS
FOLLOWS_VERB = DETERMINERS | PREPOSITIONS | CONJUNCTIONS | PRONOUNS | NO_OBJECT | LINKS | ADJECTIVES | ADVERBS
FOLLOWS_UNKNOWN_VERB = DETERMINERS | {"me", "us", "it", "them", "him", "her"}
SUBJECTS = AUXILIARIES | PRONOUNS
"""Passed over between a question word and the noun that is asked about."""
NOUNS_LIKE_ADJECTIVES = NOT_ADJECTIVES | GERUND_NOUNS
NOT_ADVERBS = NOT_ADJECTIVES | ADJECTIVES
MEASURES = ADJECTIVES | {"far", "often", "tall", "wide"}
"""What may follow how."""
NO_NOUNS = frozenset(word for word in ADJECTIVES if word.endswith("est")) | {"following", "given"}
"""Left alone, the noun after them is not there."""
ALL_VERBS = VERBS | OTHER_VERBS
