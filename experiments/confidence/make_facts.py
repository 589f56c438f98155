"""Write the packaged question set `facts`: short factual questions from templates and facts put together here.

    python experiments/confidence/make_facts.py

Nothing is random but the numbers of the calculations, which come from a fixed seed. Every line has `id`, `question`,
`answer`, `kind` (how the answer is read, see `jaxuq.questions.find_answer`), `category` and, where another answer is
right too, `also`.
"""

import json
import pathlib
import random

TARGET = pathlib.Path(__file__).parents[2] / "jaxuq" / "questions" / "data" / "facts.jsonl"

CAPITALS = """
France Paris; Germany Berlin; Italy Rome; Spain Madrid; Portugal Lisbon; Greece Athens; Austria Vienna; Hungary Budapest
Poland Warsaw; Norway Oslo; Sweden Stockholm; Finland Helsinki; Denmark Copenhagen; Iceland Reykjavik; Ireland Dublin
Belgium Brussels; Romania Bucharest; Bulgaria Sofia; Croatia Zagreb; Serbia Belgrade; Slovenia Ljubljana
Estonia Tallinn
Latvia Riga; Lithuania Vilnius; Albania Tirana; Ukraine Kyiv/Kiev; Russia Moscow; Turkey Ankara; Japan Tokyo
China Beijing; India New_Delhi/Delhi; Pakistan Islamabad; Nepal Kathmandu; Thailand Bangkok; Vietnam Hanoi
Indonesia Jakarta; Malaysia Kuala_Lumpur; Mongolia Ulaanbaatar/Ulan_Bator; Iran Tehran; Iraq Baghdad; Syria Damascus
Lebanon Beirut; Jordan Amman; Saudi_Arabia Riyadh; Qatar Doha; Oman Muscat; Egypt Cairo; Morocco Rabat; Tunisia Tunis
Algeria Algiers; Libya Tripoli; Kenya Nairobi; Ethiopia Addis_Ababa; Ghana Accra; Nigeria Abuja; Senegal Dakar
Uganda Kampala; Rwanda Kigali; Zambia Lusaka; Zimbabwe Harare; Angola Luanda; Namibia Windhoek; Madagascar Antananarivo
Canada Ottawa; Mexico Mexico_City; Cuba Havana; Jamaica Kingston; Peru Lima; Chile Santiago; Ecuador Quito
Colombia Bogotá/Bogota; Venezuela Caracas; Argentina Buenos_Aires; Uruguay Montevideo; Paraguay Asunción/Asuncion
Brazil Brasília/Brasilia; Australia Canberra; New_Zealand Wellington; Fiji Suva
"""

ELEMENTS = """
hydrogen H 1; helium He 2; lithium Li 3; beryllium Be 4; boron B 5; carbon C 6; nitrogen N 7; oxygen O 8; fluorine F 9
neon Ne 10; sodium Na 11; magnesium Mg 12; aluminium Al 13; silicon Si 14; phosphorus P 15; sulfur S 16; chlorine Cl 17
argon Ar 18; potassium K 19; calcium Ca 20; titanium Ti 22; chromium Cr 24; manganese Mn 25; iron Fe 26; cobalt Co 27
nickel Ni 28; copper Cu 29; zinc Zn 30; bromine Br 35; krypton Kr 36; silver Ag 47; tin Sn 50; iodine I 53; xenon Xe 54
tungsten W 74; platinum Pt 78; gold Au 79; mercury Hg 80; lead Pb 82; uranium U 92
"""

CONTINENTS = """
Africa: Egypt Kenya Nigeria Ghana Morocco Ethiopia Angola
Asia: Japan China India Thailand Vietnam Nepal Iran
Europe: France Poland Norway Greece Hungary Ireland Estonia
South_America: Peru Chile Brazil Bolivia Uruguay
North_America: Canada Mexico Cuba Honduras
"""

SEQUENCES = {
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "month": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
}

COUNTS = """
How many legs does a spider have? 8 eight; How many legs does an insect have? 6 six
How many sides does a hexagon have? 6 six
How many sides does an octagon have? 8 eight; How many sides does a pentagon have? 5 five
How many minutes are in an hour? 60 sixty; How many hours are in a day? 24 twenty-four
How many days are in a week? 7 seven; How many months are in a year? 12 twelve; How many days are in April? 30 thirty
How many days are in a leap year? 366 -; How many weeks are in a year? 52 fifty-two
How many centimetres are in a metre? 100 hundred; How many grams are in a kilogram? 1000 thousand
How many strings does a violin have? 4 four; How many players of one team are on the field in soccer? 11 eleven
How many planets does the Solar System have? 8 eight; How many degrees are in a right angle? 90 ninety
How many degrees do the angles of a triangle add up to? 180 -; How many letters does the English alphabet have? 26 -
How many seconds are in a minute? 60 sixty; How many years are in a century? 100 hundred
How many sides does a cube have? 6 six; How many wheels does a bicycle have? 2 two
How many squares does a chessboard have? 64 -; How many continents are there? 7 seven
"""

NAMES = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Henry",
    "Iris",
    "Jack",
    "Kate",
    "Liam",
    "Maya",
    "Noah",
    "Olga",
    "Paul",
]
THINGS = ["apples", "books", "coins", "marbles", "pencils", "stamps", "shells", "cards"]


def split(text: str) -> list[str]:
    """Entries between semicolons and line ends."""
    return [entry.strip() for line in text.strip().splitlines() for entry in line.split(";") if entry.strip()]


def lines() -> list[dict]:
    """All questions."""
    made: list[dict] = []

    def add(category: str, question: str, answer: str, kind: str, also: tuple[str, ...] = ()) -> None:
        number = sum(line["category"] == category for line in made)
        line = {"id": f"{category}-{number:03d}", "question": question, "answer": answer, "kind": kind}
        made.append(line | {"category": category} | ({"also": list(also)} if also else {}))

    for entry in split(CAPITALS):
        country, cities = entry.split(" ")
        first, *others = cities.replace("_", " ").split("/")
        add("capitals", f"What is the capital of {country.replace('_', ' ')}?", first, "text", tuple(others))
    for place, entry in enumerate(split(ELEMENTS)):
        name, symbol, number = entry.split()
        if place % 5 != 4:
            add("symbols", f"What is the chemical symbol of {name}?", symbol, "text")
        else:
            add("elements", f"Which chemical element has the symbol {symbol}?", name, "text")
        if int(number) <= 30 and place % 2 == 0:
            add("atomic-numbers", f"What is the atomic number of {name}?", number, "number")
    for line in CONTINENTS.strip().splitlines():
        continent, countries = line.split(":")
        for country in countries.split():
            add("continents", f"On which continent is {country}?", continent.replace("_", " "), "text")
    for kind, names in SEQUENCES.items():
        for place, name in enumerate(names):
            add("calendar", f"Which {kind} comes after {name}?", names[(place + 1) % len(names)], "text")
    for entry in split(COUNTS):
        question, answer = entry.split("?")
        number, word = answer.split()
        add("counts", f"{question}?", number, "number", () if word == "-" else (word,))

    numbers = random.Random(5)
    for place in range(60):
        if place % 3 == 0:
            a, b = numbers.randint(2, 49), numbers.randint(2, 49)
            add("arithmetic", f"What is {a} + {b}?", str(a + b), "number")
        elif place % 3 == 1:
            a, b = numbers.randint(11, 60), numbers.randint(2, 10)
            add("arithmetic", f"What is {a} - {b}?", str(a - b), "number")
        else:
            a, b = numbers.randint(2, 12), numbers.randint(2, 12)
            add("arithmetic", f"What is {a} * {b}?", str(a * b), "number")
    for place in range(40):
        name, thing = numbers.choice(NAMES), numbers.choice(THINGS)
        a, b, c = numbers.randint(5, 20), numbers.randint(2, 9), numbers.randint(2, 4)
        if place % 2 == 0:
            question = f"{name} has {a} {thing}, buys {b} more and then gives away {c}. How many {thing} are left?"
            add("two-steps", question, str(a + b - c), "number")
        else:
            question = f"{name} has {c} boxes with {b} {thing} each, and {a} more {thing}. How many {thing} are there?"
            add("two-steps", question, str(c * b + a), "number")
    return made


if __name__ == "__main__":
    TARGET.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines()), encoding="utf-8")
    print(f"{len(lines())} questions in {TARGET}")
