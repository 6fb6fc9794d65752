"""Swedish weather and sea reports: the demo's domain, kept out of the base's training."""

import random

AREAS = (
    "Skagerrak|Kattegatt|Öresund|Bottenviken|Bottenhavet|Norra Kvarken|Ålands hav|Finska viken|"
    "Rigabukten|Norra Östersjön|Södra Östersjön|Vänern|Vättern|Mälaren|Hanöbukten|Kalmarsund"
).split("|")
REGIONS = (
    "södra Götaland|norra Götaland|östra Svealand|västra Svealand|södra Norrland|norra Norrland|"
    "västkusten|ostkusten|fjällen|skärgården|inlandet|Gotland|Öland|Skåne|Lappland"
).split("|")
DIRECTIONS = (
    "nord|nordost|ost|sydost|syd|sydväst|väst|nordväst|omkring nord|mellan syd och väst"
).split("|")
SPEEDS = "tre|fyra|fem|sex|sju|åtta|nio|tio|elva|tolv|tretton|fjorton|sexton|arton|tjugo".split("|")
STRENGTHS = "svag vind|måttlig vind|frisk vind|hård vind|styv kuling|halv storm|full storm".split(
    "|"
)
SKIES = (
    "klart|halvklart|mulet|soligt|molnigt|disigt|växlande molnighet|mest klart|nästan molnfritt"
).split("|")
WET = (
    "regn|duggregn|regnskurar|åskskurar|snöfall|snöblandat regn|byar av snö|hagel|underkylt regn|"
    "dimma|tät dimma|lätta snöbyar"
).split("|")
SIGHT = "god sikt|måttlig sikt|dålig sikt|mycket god sikt|stundtals dålig sikt".split("|")
TIMES = (
    "under natten|i gryningen|på förmiddagen|mot eftermiddagen|framåt kvällen|i morgon|"
    "under helgen|det närmaste dygnet|från och med midnatt"
).split("|")
WARM = "noll|två|tre|fem|sju|tio|tolv|femton|arton|tjugo|tjugotvå|tjugofem".split("|")
SIDES = "plusgrader|minusgrader|grader".split("|")
WARNINGS = (
    "Varning för kuling|Varning för storm|Varning för isbildning|Risk för åska|Risk för ishalka|"
    "Risk för skogsbrand|Varning för höga vattenflöden"
).split("|")
TRENDS = (
    "Lufttrycket stiger|Lufttrycket faller|Vinden avtar|Vinden ökar|Vinden vrider|Sikten försämras|"
    "Sikten förbättras|Molnen spricker upp|Dimman lättar|Nederbörden upphör"
).split("|")

TEMPLATES = (
    "{area}, {direction} {speed} meter per sekund.",
    "{area}, {direction} {speed} till {speed2} meter per sekund, {sight}.",
    "{area}, {strength}, {wet}, {sight}.",
    "{region_c} får {wet} {time}.",
    "Det blir {sky} och {warm} {side} i {region}.",
    "{time_c} väntas {wet} i {region}.",
    "{time_c} blir det {sky} med {strength}.",
    "{warning} i {region} {time}.",
    "{warning} på {area}.",
    "{trend} {time}.",
    "{trend} och det blir {sky}.",
    "Temperaturen når {warm} {side} {time}.",
    "I {region} blåser det {direction} {speed} meter per sekund.",
    "Utsikten för {area} är {strength} och {sight}.",
    "Ett regnområde drar in över {region} {time}.",
    "Ett högtryck över {region} ger {sky} väder.",
    "Ett lågtryck rör sig mot {region} {time}.",
    "{sky_c}, {warm} {side}, {strength}.",
)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def sentence(seed: int, index: int) -> str:
    """Report number `index`; a pure function of (seed, index)."""
    draw = random.Random(f"weather-{seed}-{index}")
    speed = draw.randrange(len(SPEEDS) - 3)
    region, time, sky = draw.choice(REGIONS), draw.choice(TIMES), draw.choice(SKIES)
    return draw.choice(TEMPLATES).format(
        area=draw.choice(AREAS),
        region=region,
        region_c=_capital(region),
        direction=draw.choice(DIRECTIONS),
        speed=SPEEDS[speed],
        speed2=SPEEDS[speed + 1 + draw.randrange(3) if speed < len(SPEEDS) - 3 else speed + 1],
        strength=draw.choice(STRENGTHS),
        sky=sky,
        sky_c=_capital(sky),
        wet=draw.choice(WET),
        sight=draw.choice(SIGHT),
        time=time,
        time_c=_capital(time),
        warm=draw.choice(WARM),
        side=draw.choice(SIDES),
        warning=draw.choice(WARNINGS),
        trend=draw.choice(TRENDS),
    )
