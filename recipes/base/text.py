"""Swedish sentences for the base recipe: a small grammar over a large lexicon.

Everything is a context-free grammar. ``GRAMMAR`` maps a symbol to its alternatives, and an
alternative is text with slots such as ``<subj>``. Agreement in gender, number and definiteness
is part of the symbol names: ``<adj.n>`` is a neuter adjective, ``<a.def.p>`` a definite plural
noun phrase with an abstract noun. Words about weather and the sea are left out on purpose.
"""

import random
import re
import sys

# Nouns: (meaning, declension) -> lemmas. Meanings: p person, t thing, a abstract, l place.
NOUNS = {
    ("p", "or"): """
        flicka kvinna sjuksköterska barnmorska svenska danska finska norska änka gumma tärna
        älskarinna hertiginna lärarinna människa prinsessa
    """,
    ("p", "ar"): """
        tonåring granne drottning kompis syssling pojke unge gubbe hjälte lärling flykting främling
        utlänning tvilling älskling nykomling kung präst syster tysk svensk dansk finne kock gäst
        tjuv skurk make biskop kändis dräng tomte jätte arvinge ätteling myndling gosse frände ängel
    """,
    ("p", "er"): """
        kusin advokat chef student direktör ingenjör chaufför journalist elev kamrat patient
        dirigent polis minister president general soldat kapten pilot artist pianist gitarrist
        violinist turist expert konsult producent konsument kund klient assistent professor doktor
        rektor lektor inspektör regissör skulptör frisör massör ambassadör redaktör entreprenör
        fotograf filosof psykolog biolog teolog arkeolog geolog arkitekt agent pensionär miljonär
        funktionär kandidat diplomat demokrat socialist jurist ekonom astronom atlet specialist
        optimist pessimist realist poet profet prins guvernör kassör sergeant konstnär aktivist
        kemist pedagog dietist terapeut veterinär aktionär revisor senator missionär
    """,
    ("p", "are"): """
        förskollärare riddare bagare tiggare nybörjare mästare sekreterare invånare investerare
        lärare läkare arbetare forskare författare ledare ägare målare snickare skådespelare spelare
        tränare löpare simmare dansare sångare läsare lyssnare tittare väljare köpare säljare
        tillverkare uppfinnare medborgare domare åklagare fiskare jägare slaktare skräddare
        rörmokare städare tandläkare medarbetare företagare grundare användare besökare deltagare
        vinnare förlorare ryttare översättare utredare granskare rådgivare handläggare
        kommunalarbetare vaktmästare borgmästare byggmästare trädgårdsmästare programmerare tecknare
        berättare bedragare tjänare krigare motståndare anhängare efterträdare företrädare
        gruvarbetare brevbärare italienare australiensare holländare österrikare ungrare schweizare
        göteborgare stockholmare handlare hantverkare
    """,
    ("p", "re"): """
        politiker musiker historiker tekniker mekaniker analytiker akademiker kritiker grafiker
    """,
    ("p", "0"): """
        barn barnbarn syskon kommunalråd par befäl offer ombud sändebud
    """,
    ("p", "ner"): """
        geni
    """,
    ("p", "n"): """
        vittne biträde föredöme snille
    """,
    ("t", "or"): """
        klocka lampa soffa kappa skjorta tröja jacka mössa flaska skala docka låda väska matta kanna
        gryta panna blomma tavla kamera trumma hylla resväska tårta kaka soppa gurka kola pizza
        karta flagga penna kula fåra ruta skiva pumpa fluga myra humla åsna apa höna groda krona
        sida näsa tunga lunga skuldra skugga fackla låga lykta limpa strumpa skottkärra planka
        brygga klubba pistolkula opera
    """,
    ("t", "ar"): """
        klänning påse kasse kudde tallrik gaffel sked kniv orgel skruv spade såg korg korv lök dörr
        räv älg varg björn hare tiger hund häst gris tupp orm fjäder krok sax vinge svans mage bulle
        bil stol säng bänk nyckel spegel cykel tidning båge sten pinne kran hatt handske skål kopp
        mugg burk säck hink tvål borste ring tröskel vagn buss skylt lastbil brandbil pärm sedel
        ryggsäck kabel stege tavelram ost fisk fågel svamp gran tall björk ek buske stock kvist gren
        frukost middag smörgås rygg arm hals axel armbåge buk skärm sladd ugn kyl spis disk boll
        puck drake flygel sträng nål tråd knapp rock kjol potatis robot pryl artikel
    """,
    ("t", "er"): """
        vas gardin kastrull gitarr tidskrift tomat banan apelsin bomb maskin giraff elefant katt
        cigarett medalj raket antenn ballong motor sko fåtölj mobil telefon dator byrå trumpet fiol
        kostym möbel tablett kassett diskett biljett servett tapet roman novell dikt film skulptur
        staty karamell sallad produkt magnet traktor generator transistor projektor video diamant
        juvel kristall fotografi present kanon pistol granat ballad symfoni muskel sensor
    """,
    ("t", "are"): """
        hammare
    """,
    ("t", "ner"): """
        batteri vin draperi fotografi
    """,
    ("t", "0"): """
        hus bord fönster tak golv lås glas fat papper brev kort bröd ägg ben hår halsband armband
        spel instrument ljus verktyg spett hjul tåg flygplan fordon däck paket kuvert dokument
        recept lexikon vapen svärd skott mynt tecken får lamm djur träd blad bär päron plommon kex
        nät rör block plåster lakan örngott skåp badkar element namn nummer ord skelett skinn fack
        handtag staket plank armbandsur ur kylskåp tangentbord nyckelhål skägg ärr sår
    """,
    ("t", "n"): """
        foto frimärke bälte piano häfte schema märke äpple täcke kvitto konto räcke smycke kläde
        hjärta knä ansikte
    """,
    ("a", "or"): """
        fråga saga visa resa vecka skada olycka läxa känsla förmåga ränta kedja vara klyfta summa
        plåga lista
    """,
    ("a", "er"): """
        uppgift orsak åtgärd kris lektion skuld trupp grundsats period tvist skillnad kostnad grupp
        klass linje mängd sort sak metod modell princip teori plan vinst förlust kampanj match dygd
        synd betydelse berättelse upptäckt erfarenhet kunskap månad process tjänst rättighet
        övertygelse avgift möjlighet svårighet frihet verksamhet nyhet hemlighet verklighet säkerhet
        enhet skyldighet egenskap vetenskap demokrati myndighet svaghet kultur händelse upplevelse
        förståelse kommission situation nation generation institution organisation produktion
        information kommunikation diskussion reaktion tradition revolution reform strategi ekonomi
        industri energi teknologi ideologi konflikt katastrof debatt attityd kvalitet kapacitet
        aktivitet identitet tendens konsekvens konferens kompetens referens regel faktor sektor
        struktur procedur karriär miljö affär idé marknad byggnad funktion position religion vision
        inflation allians balans chans distans substans resurs kurs dimension version pension motion
        nivå diagnos metafor analys synpunkt ståndpunkt födelse bestämmelse styrelse insats uppsats
        sats insikt avsikt åsikt publik konst skrift följd jakt makt vikt plikt form norm
        reservation variant effekt defekt aspekt kompromiss
    """,
    ("a", "ar"): """
        tanke timme årsdag lag ställning riktning del tävling seger utbildning utveckling regering
        förändring undersökning ledning riksdag handling lösning ordning mening övning förklaring
        beskrivning anledning avdelning satsning höjning sänkning ökning minskning utredning
        förhandling försäkring förening lagstiftning behandling bedömning samling ansökning
        beräkning uppfinning stämning spänning verkning förväntning inställning uppfattning
        förvaltning besparing befolkning omröstning rättegång dom sjukdom ungdom rikedom egendom
        kväll helg dag vår höst värdering prövning granskning begränsning tolkning framställning
        föreställning sammanfattning redovisning fördelning tillverkning störning belöning
        anställning sanning investering överraskning
    """,
    ("a", "0"): """
        kontrakt hinder ögonblick medlemskap äventyr tillstånd äktenskap budskap landskap nederlag
        genombrott ansvar beslut förslag system problem projekt avtal krav mål hot resultat
        experiment test exempel villkor samband försök liv brott straff förbud bevis svar råd stöd
        bidrag belopp lån uppdrag fall skäl motiv bud val utskott år sekel datum dygn kvartal inslag
        framsteg misstag undantag argument begrepp perspektiv uttryck intryck avtryck tryck besök
        språk verk alternativ initiativ kollektiv fenomen moment mirakel kapitel avsnitt band lag
        företag handelsavtal kollektivavtal fredsavtal segment fundament överskott underskott samtal
        anfall förhör bråk upplopp krig uppror folk sätt slag skick bruk missbruk övergrepp ingrepp
        fel ljud
    """,
    ("a", "n"): """
        samhälle förhållande område ärende möte arbete intresse minne rike styre rykte ämne yrke
        löfte uttalande antagande påstående erbjudande beteende meddelande avgörande boende
        deltagande ingripande tänkande utlåtande utseende anseende leende skede läge väsende nöje
        utförande lidande inflytande ställningstagande användningsområde kunnande utrymme syfte
        värde tillfälle årtionde århundrade förtroende dilemma tema drama trauma stycke regemente
        eko
    """,
    ("a", "ner"): """
        hyckleri parti kompani
    """,
    ("a", "0m"): """
        program
    """,
    ("a", "um"): """
        ministerium stipendium evangelium
    """,
    ("l", "or"): """
        gata kyrka skola stuga hytta trappa grotta hydda koja arena
    """,
    ("l", "are"): """
        källare
    """,
    ("l", "ar"): """
        park skog trädgård by dal backe stig väg gård mur hall åker teater skolsal tunnel
    """,
    ("l", "er"): """
        tomt lägenhet korridor balkong bank fabrik butik restaurang biograf lokal station region
        provins metropol terminal kiosk salong klinik oas central filial kommun ambassad
    """,
    ("l", "0m"): """
        rum vardagsrum badrum klassrum sovrum daghem ålderdomshem kontorsrum
    """,
    ("l", "0"): """
        kök torg hotell kontor sjukhus slott bibliotek universitet institut berg fält garage tält
        kloster apotek växthus höghus rådhus torp lager varuhus
    """,
    ("l", "n"): """
        fängelse dike
    """,
    ("l", "um"): """
        museum gymnasium laboratorium akvarium
    """,
    ("l", "ner"): """
        kafé bageri bryggeri tryckeri kansli konditori slakteri
    """,
    ("l", "0x"): """
        kvarter
    """,
}

# Irregular nouns: meaning, gender and the four forms.
IRREGULAR_NOUNS = """
a n pris priset priser priserna / p u man mannen män männen / p u vän vännen vänner vännerna / p u
bror brodern bröder bröderna / p u mor modern mödrar mödrarna / p u far fadern fäder fäderna / p u
son sonen söner sönerna / p u dotter dottern döttrar döttrarna / p u bonde bonden bönder bönderna /
p u fiende fienden fiender fienderna / p u kollega kollegan kolleger kollegerna / p u norrman
norrmannen norrmän norrmännen / p u fransman fransmannen fransmän fransmännen / p u engelsman
engelsmannen engelsmän engelsmännen / p u talman talmannen talmän talmännen / p u spelman spelmannen
spelmän spelmännen / p u brandman brandmannen brandmän brandmännen / p u tjänsteman tjänstemannen
tjänstemän tjänstemännen / p u hustru hustrun hustrur hustrurna / p u ordförande ordföranden
ordförande ordförandena / p u förälder föräldern föräldrar föräldrarna / p u studerande studeranden
studerande studerandena / p u gemål gemålen gemåler gemålerna / p u amerikan amerikanen amerikaner
amerikanerna / p u kines kinesen kineser kineserna / p u afrikan afrikanen afrikaner afrikanerna / p
u egyptier egyptiern egyptier egyptierna / p u indier indiern indier indierna / p u ryss ryssen
ryssar ryssarna / p u belgare belgaren belgare belgarna / p u grek greken greker grekerna / p u
japan japanen japaner japanerna / p u turk turken turkar turkarna / p u pojkvän pojkvännen
pojkvänner pojkvännerna / p u islänning islänningen islänningar islänningarna / p u reporter
reportern reportrar reportrarna / p u medlem medlemmen medlemmar medlemmarna / p u kompanjon
kompanjonen kompanjoner kompanjonerna / p u ledamot ledamoten ledamöter ledamöterna / p u officer
officeren officerare officerarna / p n statsråd statsrådet statsråd statsråden / p u sambo sambon
sambor samborna / t u bok boken böcker böckerna / t u hand handen händer händerna / t u fot foten
fötter fötterna / t u tand tanden tänder tänderna / t u tång tången tänger tängerna / t u ko kon kor
korna / t u rot roten rötter rötterna / t u morot moroten morötter morötterna / t u gås gåsen gäss
gässen / t u mus musen möss mössen / t u lus lusen löss lössen / t n öga ögat ögon ögonen / t n öra
örat öron öronen / t n huvud huvudet huvuden huvudena / t u kam kammen kammar kammarna / t u plånbok
plånboken plånböcker plånböckerna / t u ros rosen rosor rosorna / t u ram ramen ramar ramarna / t u
stam stammen stammar stammarna / t u nöt nöten nötter nötterna / t n finger fingret fingrar
fingrarna / t u stång stången stänger stängerna / t u vägg väggen väggar väggarna / t u get geten
getter getterna / t u toffel toffeln tofflor tofflorna / a u natt natten nätter nätterna / a u
morgon morgonen morgnar morgnarna / a u sommar sommaren somrar somrarna / a u dröm drömmen drömmar
drömmarna / a u kraft kraften krafter krafterna / a u gräns gränsen gränser gränserna / a u ansökan
ansökan ansökningar ansökningarna / a u anmälan anmälan anmälningar anmälningarna / a u tid tiden
tider tiderna / a u ålder åldern åldrar åldrarna / a u brist bristen brister bristerna / a u
historia historien historier historierna / a u roll rollen roller rollerna / a n centrum centrumet
centrum centrumen / a u bokstav bokstaven bokstäver bokstäverna / a u rörelse rörelsen rörelser
rörelserna / a u värld världen världar världarna / a u stund stunden stunder stunderna / a u
semester semestern semestrar semestrarna / a u kamp kampen kamper kamperna / l u stad staden städer
städerna / l n land landet länder länderna / l u bokhandel bokhandeln bokhandlar bokhandlarna / l n
hörn hörnet hörn hörnen / l u verkstad verkstaden verkstäder verkstäderna / l u huvudstad
huvudstaden huvudstäder huvudstäderna / l u bastu bastun bastur basturna / l u förstad förstaden
förstäder förstäderna / l n hem hemmet hem hemmen / l u bro bron broar broarna / l u vrå vrån vrår
vrårna
"""

# Mass nouns by gender: only the bare and the definite form.
MASS_NOUNS = {
    "u": """
        mjölk grädde mat sås färg ull bomull koppar olja bensin glass choklad pasta musik politik
        trafik kritik statistik logik etik fred glädje sorg kärlek vrede rädsla oro ångest saknad
        hunger törst trötthet hälsa vård omsorg forskning undervisning handel arbetslöshet fattigdom
        jämställdhet rättvisa solidaritet tolerans moral humor fantasi klokhet vilja tillväxt
        välfärd medicin matematik fysik kemi biologi litteratur konst reklam post plast lera sand
        aska rök betong trängsel tystnad ensamhet vänskap respekt tacksamhet disciplin
    """,
    "n": """
        smör socker salt kaffe te vatten kött öl damm siden läder trä stål järn guld silver ris hat
        mod tålamod allvar tvivel hopp förnuft gräs hö virke buller våld beröm lugn kaos
    """,
}

# Compounds: every first element is combined with every head.
COMPOUND_FIRST = """
arbets skol barn stads kommun stats utbildnings forsknings miljö energi kultur närings familje freds
försvars skatte bostads trafik järnvägs tidnings musik film teater bok språk skogs jordbruks
industri handels bank pensions ungdoms kvinno flykting parti riksdags regerings demokrati rätts
polis domstols fängelse sjukhus läkar patient läkemedels universitets student lärar elev kurs data
telefon spel idrotts fotbolls tränings semester hotell flyg buss cykel byggnads köks trädgårds blom
frukt fisk mat bröd kläd möbel glas metall järn guld pappers text brev post pris löne kostnads
budget marknads export import kund service produktions fabriks maskin motor el olje gas vatten djur
häst hund fågel kyrko biblioteks musei konst dans sång historie samhälls folk lands huvud grund
krigs kris säkerhets kvalitets teknik program informations nyhets debatt vetenskaps natur hälso vård
livs framtids minnes resurs riks världs europa medlems förenings styrelse besluts förhandlings
avtals utrednings projekt gymnasie
"""

COMPOUND_HEADS = {
    "or": """
        fråga resa skola lista
    """,
    "er": """
        grupp katalog plan chef expert form debatt konflikt kostnad kris marknad metod miljö
        minister myndighet nivå organisation period process reform regel resurs strategi struktur
        tjänst uppgift verksamhet situation konferens lokal butik kultur central kommission rörelse
        rapport student specialist affär produkt kampanj
    """,
    "ar": """
        avdelning utredning ledning tidning lösning förvaltning förening samling planering övning
        försäkring utställning förändring del dag lag undersökning artikel
    """,
    "re": """
        politiker
    """,
    "are": """
        ägare ledare lärare forskare arbetare tillverkare
    """,
    "0": """
        projekt system avtal beslut företag förslag institut problem stöd villkor krav mål bolag
        verk råd register material lager kontor förbund fält
    """,
    "0m": """
        program
    """,
    "n": """
        arbete område möte samarbete
    """,
    "um": """
        museum ministerium
    """,
    "ner": """
        parti
    """,
}

# Verbs: (use, conjugation) -> infinitives. Uses: t takes a thing, p takes a person, i takes
# nothing, c takes a clause with "att". Conjugations: 1 talar, 2 ringer or köper, 3 tror.
VERBS = {
    ("t", "2"): """
        använda beställa klippa undersöka väga genomföra godkänna förstärka häva bygga läsa köpa
        köra hyra höra föra styra störa stänga tända släcka sända bestämma gömma glömma känna bränna
        fylla ställa följa fälla hänga skölja kräva märka mäta byta lyfta röka söka steka tömma
        uppleva utföra väcka värma ärva behöva erkänna tillföra införa medföra trycka rycka vända
        hälla smälta kväva begära uppföra utlysa nämna döma fördöma krympa lösa låsa läcka täcka
        uttrycka avtäcka upptäcka böja plöja höja förstöra
    """,
    ("t", "1"): """
        behandla beskatta betala bevara bilda borra brodera dela diskutera dokumentera erövra fixa
        flytta fotografera förbättra förklara förändra förvalta förvara garantera granska hantera
        hämta identifiera importera införskaffa installera kasta kommentera kontrollera koka
        konstruera kopiera kritisera lagra laga lansera lasta leverera lämna låna måla montera
        notera odla ordna organisera packa planera plocka presentera producera publicera putsa raka
        redovisa reformera registrera regissera rensa reparera rita räkna samla sanera servera
        signera skaffa skapa skicka skildra skruva slicka slipa smaka sortera spara spela sponsra
        stapla starta stoppa studera städa symbolisera tappa teckna testa tillverka tolka torka
        transportera tvätta utnyttja utveckla utvärdera vattna vinkla värdera visa älska öppna öka
        överlämna analysera finansiera formulera förstora förminska ignorera kompensera markera
        motivera modernisera prioritera radera reducera rekommendera reservera respektera restaurera
        stabilisera acceptera avsluta avvisa beundra betrakta citera dekorera dominera exportera
        fördubbla försvaga glasera illustrera inspektera justera klistra lappa minska
    """,
    ("p", "1"): """
        fråga kalla hata avskeda utbilda informera kontakta krama intervjua undervisa hota jaga
        rädda vårda trösta varna straffa provocera övertala irritera reta lura lugna oroa skada
        belöna motivera inspirera kritisera beundra ignorera gratulera uppmana tacka sakna uppmuntra
        anklaga fotografera bevaka observera
    """,
    ("p", "2"): """
        anställa misstänka hjälpa möta känna döma väcka kyssa följa höra störa skrämma utnämna
        glömma underkänna förfölja
    """,
    ("i", "1"): """
        arbeta jobba tala prata skratta vandra dansa simma hoppa vila vakna somna viska ropa klaga
        tveka vänta landa cykla promenera studera spela träna tävla svara lyssna titta handla kämpa
        protestera demonstrera debattera diskutera rösta flytta emigrera mogna vissna fungera
        existera reagera öva rodna darra snarka gäspa hosta blinka mumla nicka festa fira fiska jaga
        odla leta tjata strejka avancera kapitulera accelerera bromsa parkera krångla strula vackla
        snubbla ramla halka bada duscha fika pausa hälsa knacka resonera filosofera fundera grubbla
        improvisera musicera kollapsa experimentera
    """,
    ("i", "2"): """
        drömma leva resa åka leka ringa ryka växa köra svänga läsa tänka rymma läka höra byta smälta
        röka löpa
    """,
    ("i", "3"): """
        bo sy gro fly
    """,
    ("c", "1"): """
        hävda förklara berätta konstatera påpeka lova mena svara önska upprepa notera bekräfta
        meddela visa bevisa påvisa fantisera ropa viska gissa betona rapportera argumentera klaga
        hota
    """,
    ("c", "2"): """
        misstänka upptäcka erkänna känna tycka tänka glömma märka
    """,
    ("c", "3"): """
        tro
    """,
}

# Irregular verbs: use, infinitive, present, preterite, supine.
IRREGULAR_VERBS = """
t skriva skriver skrev skrivit / t sälja säljer sålde sålt / t välja väljer valde valt / t göra gör
gjorde gjort / t ta tar tog tagit / t dricka dricker drack druckit / t äta äter åt ätit / t finna
finner fann funnit / t vinna vinner vann vunnit / t bära bär bar burit / t skära skär skar skurit /
t stjäla stjäl stal stulit / t bryta bryter bröt brutit / t bita biter bet bitit / t riva river rev
rivit / t driva driver drev drivit / t sprida sprider spred spridit / t slå slår slog slagit / t dra
drar drog dragit / t se ser såg sett / t få får fick fått / t lägga lägger lade lagt / t sätta
sätter satte satt / t hålla håller höll hållit / t behålla behåller behöll behållit / t beskriva
beskriver beskrev beskrivit / t binda binder band bundit / t sjunga sjunger sjöng sjungit / t knyta
knyter knöt knutit / t skjuta skjuter sköt skjutit / t stryka stryker strök strukit / t leda leder
ledde lett / t utreda utreder utredde utrett / t förbereda förbereder förberedde förberett / t
översätta översätter översatte översatt / t undvika undviker undvek undvikit / t upprätthålla
upprätthåller upprätthöll upprätthållit / t innehålla innehåller innehöll innehållit / t föreslå
föreslår föreslog föreslagit / t anta antar antog antagit / t avslå avslår avslog avslagit / t
kartlägga kartlägger kartlade kartlagt / t förbjuda förbjuder förbjöd förbjudit / t motstå motstår
motstod motstått / t inreda inreder inredde inrett / t stödja stöder stödde stött / t avbryta
avbryter avbröt avbrutit / t väva väver vävde vävt / t sy syr sydde sytt / t strö strör strödde
strött / t förlora förlorar förlorade förlorat / t utge utger utgav utgivit / t förstå förstår
förstod förstått / t överge överger övergav övergivit / p se ser såg sett / p förstå förstår förstod
förstått / p bjuda bjuder bjöd bjudit / p svika sviker svek svikit / p lämna lämnar lämnade lämnat /
p slå slår slog slagit / p leda leder ledde lett / p stödja stöder stödde stött / p avbryta avbryter
avbröt avbrutit / p bedra bedrar bedrog bedragit / p älska älskar älskade älskat / p träffa träffar
träffade träffat / p överge överger övergav övergivit / p hitta hittar hittade hittat / p besegra
besegrar besegrade besegrat / p befria befriar befriade befriat / p övertyga övertygar övertygade
övertygat / p omringa omringar omringade omringat / p bita biter bet bitit / p gripa griper grep
gripit / p angripa angriper angrep angripit / i komma kommer kom kommit / i gå går gick gått / i stå
står stod stått / i springa springer sprang sprungit / i ligga ligger låg legat / i sitta sitter
satt suttit / i sova sover sov sovit / i äta äter åt ätit / i falla faller föll fallit / i flyga
flyger flög flugit / i sjunga sjunger sjöng sjungit / i skrika skriker skrek skrikit / i gråta
gråter grät gråtit / i le ler log lett / i dö dör dog dött / i försvinna försvinner försvann
försvunnit / i sjunka sjunker sjönk sjunkit / i stiga stiger steg stigit / i rida rider red ridit /
i krypa kryper kröp krupit / i tiga tiger teg tigit / i lida lider led lidit / i vinna vinner vann
vunnit / i förlora förlorar förlorade förlorat / i delta deltar deltog deltagit / i ljuga ljuger
ljög ljugit / i brinna brinner brann brunnit / i stanna stannar stannade stannat / i andas andas
andades andats / i trivas trivs trivdes trivts / i lyckas lyckas lyckades lyckats / i misslyckas
misslyckas misslyckades misslyckats / i åldras åldras åldrades åldrats / i svettas svettas svettades
svettats / i återvända återvänder återvände återvänt / i klättra klättrar klättrade klättrat / i
backa backar backade backat / i blöda blöder blödde blött / c säga säger sade sagt / c veta vet
visste vetat / c se ser såg sett / c skriva skriver skrev skrivit / c anse anser ansåg ansett / c
påstå påstår påstod påstått / c föreslå föreslår föreslog föreslagit / c anta antar antog antagit /
c förstå förstår förstod förstått / c hoppas hoppas hoppades hoppats / c minnas minns mindes mints /
c inse inser insåg insett / c förutsätta förutsätter förutsatte förutsatt / c frukta fruktar
fruktade fruktat / c finna finner fann funnit / c medge medger medgav medgivit
"""

# Verbs with a particle or another fixed tail: the four forms, then the tails.
PHRASAL_VERBS = """
komma kommer kom kommit: ihåg, tillbaka, fram, hem, överens, i tid
gå går gick gått: upp, ner, hem, bort, vidare, i pension
ta tar tog tagit: semester, det lugnt, ansvar, en paus
ge ger gav gett: upp, sig av, efter
bli blir blev blivit: kvar, över, utan mat, av med hatten, till sist kvar
vara är var varit: hemma, borta, i tid, med, på väg, på semester, i fara
känna känner kände känt: sig hemma, igen sig, sig utanför
sätta sätter satte satt: sig, igång, sig upp
lägga lägger lade lagt: sig, av
ställa ställer ställde ställt: upp, sig i kö
klä klär klädde klätt: på sig, av sig
flytta flyttar flyttade flyttat: in, ut, hemifrån
gifta gifter gifte gift: sig
skynda skyndar skyndade skyndat: sig
anmäla anmäler anmälde anmält: sig
bestämma bestämmer bestämde bestämt: sig
sluta slutar slutade slutat: röka, arbeta, klaga
börja börjar började börjat: skratta, gråta, om, springa
fortsätta fortsätter fortsatte fortsatt: framåt, att arbeta, som förut
gömma gömmer gömde gömt: sig
hålla håller höll hållit: tyst, med, fast
"""

# Verbs with a preposition: present, preterite, supine, infinitive, preposition.
PREPOSITIONAL_VERBS = """
tänker tänkte tänkt tänka på / väntar väntade väntat vänta på / tittar tittade tittat titta på /
lyssnar lyssnade lyssnat lyssna på / talar talade talat tala om / drömmer drömde drömt drömma om /
berättar berättade berättat berätta om / letar letade letat leta efter / längtar längtade längtat
längta efter / bygger byggde byggt bygga på / beror berodde berott bero på / tror trodde trott tro
på / handlar handlade handlat handla om / påminner påminde påmint påminna om / leder ledde lett leda
till / bidrar bidrog bidragit bidra till / hör hörde hört höra till / deltar deltog deltagit delta i
/ varnar varnade varnat varna för / arbetar arbetade arbetat arbeta med / kämpar kämpade kämpat
kämpa för / protesterar protesterade protesterat protestera mot / skrattar skrattade skrattat
skratta åt / består bestod bestått bestå av / skriver skrev skrivit skriva om / söker sökte sökt
söka efter / tvivlar tvivlade tvivlat tvivla på / svarar svarade svarat svara på / undrar undrade
undrat undra över / satsar satsade satsat satsa på / räknar räknade räknat räkna med / slutar
slutade slutat sluta med / syftar syftade syftat syfta på / avstår avstod avstått avstå från /
skiljer skilde skilt skilja mellan
"""

# Adjectives, with and without comparison.
ADJECTIVES = {
    "compared": """
        ny stark svag snabb långsam vacker ful enkel svår lätt rik fattig kort tjock smal bred djup
        grund tyst lugn orolig glad ledsen arg vänlig elak snäll klok dum smart rolig tråkig viktig
        farlig trygg säker osäker tydlig otydlig ren smutsig hård mjuk skarp slö len sträv rak
        krokig rund jämn ojämn full mörk ljus blek röd gul grön vit svart brun söt sur besk salt
        färsk rutten dyr billig modern vanlig ovanlig känd okänd berömd stolt blyg modig feg trött
        pigg frisk sjuk hungrig törstig mätt nöjd missnöjd kärleksfull flitig noggrann slarvig ärlig
        falsk sann rättvis orättvis fri ofri öppen vild effektiv aktiv passiv intensiv positiv
        negativ kreativ exklusiv elegant intressant relevant tolerant arrogant konstig märklig
        underlig besynnerlig lycklig olycklig hemlig naturlig onaturlig personlig möjlig omöjlig
        nödvändig onödig tillfällig ständig plötslig ivrig duktig skicklig oskyldig skyldig
        allvarlig ansvarig ledig villig ovillig mäktig kraftig väldig fin grov stadig sträng hemsk
        skön behaglig obehaglig besvärlig nyttig skadlig giftig exakt korrekt abstrakt konkret
        diskret komplett perfekt defekt direkt försiktig seg knapp rimlig orimlig trolig otrolig
        generös nervös seriös religiös envis spontan formell traditionell aktuell rationell grundlig
        nyfiken trogen mogen vuxen ödmjuk smidig klumpig lydig olydig uthållig kunnig okunnig ytlig
        saklig osaklig barnslig värdefull färgstark
    """,
    "plain": """
        kritisk praktisk magisk romantisk dramatisk tragisk komisk mystisk skeptisk optimistisk
        pessimistisk svensk norsk dansk finsk tysk fransk engelsk rysk polsk italiensk spansk
        grekisk turkisk kinesisk japansk indisk arabisk amerikansk brittisk irländsk isländsk
        europeisk afrikansk asiatisk estnisk lettisk ukrainsk nederländsk österrikisk portugisisk
        ungersk egyptisk nationell internationell global regional lokal kommunal statlig offentlig
        privat politisk ekonomisk social kulturell militär civil juridisk medicinsk teknisk
        vetenskaplig historisk teoretisk demokratisk liberal konservativ socialistisk kristen
        muslimsk judisk andlig årlig daglig framtida nutida dubbel trasig digital elektronisk
        mekanisk kemisk biologisk fysisk psykisk industriell professionell litterär språklig
        pedagogisk manlig kvinnlig mänsklig enskild allmän särskild slutlig tidig sen central
        maximal minimal total absolut relativ konstnärlig musikalisk död levande förvånad besviken
        erfaren oerfaren avlägsen egen utbildad arbetslös meningslös hopplös gränslös hemlös rastlös
        tidlös kostnadsfri ensidig mångsidig tillgänglig ofullständig fullständig självständig
        ursprunglig samtida rosa lila äkta stilla främmande rikstäckande växande grundläggande
        avgörande nuvarande dåvarande tillräcklig genomsnittlig
    """,
}

# Irregular adjectives: common, neuter, plural, definite, comparative, superlative.
IRREGULAR_ADJECTIVES = """
stor stort stora stora större störst / liten litet små lilla mindre minst / gammal gammalt gamla
gamla äldre äldst / ung ungt unga unga yngre yngst / god gott goda goda bättre bäst / dålig dåligt
dåliga dåliga sämre sämst / hög högt höga höga högre högst / låg lågt låga låga lägre lägst / lång
långt långa långa längre längst / tung tungt tunga tunga tyngre tyngst / trång trångt trånga trånga
trängre trängst / tom tomt tomma tomma tommare tommast / ensam ensamt ensamma ensamma ensammare
ensammast / tam tamt tama tama tamare tamast / hjälpsam hjälpsamt hjälpsamma hjälpsamma hjälpsammare
hjälpsammast / tacksam tacksamt tacksamma tacksamma tacksammare tacksammast / blygsam blygsamt
blygsamma blygsamma blygsammare blygsammast / pinsam pinsamt pinsamma pinsamma pinsammare pinsammast
/ bekväm bekvämt bekväma bekväma bekvämare bekvämast / populär populärt populära populära populärare
populärast / gemensam gemensamt gemensamma gemensamma - - / rädd rädd rädda rädda räddare räddast /
komplicerad komplicerat komplicerade komplicerade - - / blå blått blå blå blåare blåast / grå grått
grå grå gråare gråast / bra bra bra bra bättre bäst
"""

ADVERBS = {
    "manner": """
        snabbt långsamt tyst högt lågt gärna ogärna tillsammans plötsligt försiktigt noggrant
        slarvigt vackert illa dåligt ofta sällan ibland ständigt hemma borta ute inne uppe nere där
        här överallt ingenstans någonstans framåt bakåt uppåt neråt hemåt utomlands inomhus utomhus
        dagligen årligen förgäves gratis frivilligt motvilligt tålmodigt ivrigt lugnt glatt sorgset
        bittert stolt blygt modigt skickligt klumpigt elegant hårt mjukt mycket lite länge igen
        direkt omedelbart gemensamt självständigt effektivt metodiskt likadant baklänges barfota
        avsiktligt gradvis delvis stegvis tidigt sent öppet hemligt allvarligt ordentligt flitigt
        envist tydligt otydligt ömt vilt
    """,
    "sentence": """
        inte aldrig alltid ofta kanske nog ju väl faktiskt verkligen egentligen tyvärr förmodligen
        troligen sannolikt säkert antagligen naturligtvis självklart knappast snart redan
        fortfarande ännu ändå också bara nästan ibland sällan vanligen vanligtvis dessutom däremot
        dock alltså emellertid åtminstone möjligen uppenbarligen lyckligtvis givetvis äntligen
        plötsligt slutligen numera hittills tydligen gärna huvudsakligen
    """,
    "front": """
        nu då sedan idag igår imorgon snart ibland ofta tyvärr dessutom däremot slutligen numera
        därför kanske naturligtvis plötsligt sällan aldrig förr här där hemma ute förmodligen
        lyckligtvis egentligen faktiskt självklart därefter dessförinnan samtidigt sålunda
        följaktligen
    """,
    "degree": """
        mycket ganska väldigt oerhört rätt alltför extremt särskilt tämligen fullständigt helt
        nästan synnerligen ytterst förvånansvärt ovanligt
    """,
}

NAMES = """
Anna Erik Maria Lars Karin Nils Eva Per Kristina Karl Margareta Johan Elisabeth Anders Lena Sven
Birgitta Olof Ingrid Gunnar Marie Bengt Sofia Bo Linnea Fredrik Kerstin Hans Marianne Mikael Ulla
Peter Helena Thomas Emma Magnus Johanna Stefan Susanne Jonas Monica Mats Inger Daniel Malin Andreas
Katarina Henrik Camilla Patrik Sara Göran Hanna Martin Elin Oskar Ida Filip Amanda Simon Julia
Viktor Wilma Elias Alice Hugo Maja Lucas Ella Liam Astrid Oliver Vera Axel Agnes Emil Saga Adam
Freja Gustav Signe Albin Tyra Ludvig Stina Anton Moa Isak Tove Jakob Lovisa Arvid Matilda Melker
Ebba Theodor Klara Vincent Sigrid Sixten Selma Edvin Greta Alfred Elsa Valter Rut Harald Siv Rolf
Barbro Arne Gunilla Leif Yvonne Sture Agneta Torsten Berit Ragnar Maj Ove Solveig Kurt Gerd Roland
Britt Håkan Annika Niklas Åsa Joakim Jenny Tobias Linda Robert Cecilia Marcus Pernilla Mohammed
Fatima Ali Amina Ahmed Leila Omar Yasmin Hassan Zahra Ivan Olga Pavel Natasja Björn Birger Tora
Folke Dag Hjalmar Märta Östen Åke Örjan Ylva Disa Ulrika Mona Tage Vidar
"""

SURNAMES = """
Andersson Johansson Karlsson Nilsson Eriksson Larsson Olsson Persson Svensson Gustafsson Pettersson
Jonsson Jansson Hansson Bengtsson Lindberg Lindström Lindqvist Lindgren Berg Axelsson Bergström
Lundberg Lundgren Lundqvist Mattsson Berglund Fredriksson Sandberg Henriksson Forsberg Sjöberg
Wallin Engström Eklund Danielsson Håkansson Lundin Björk Bergman Gunnarsson Holm Samuelsson Fransson
Wikström Isaksson Arvidsson Nyström Holmberg Löfgren Söderberg Nyberg Blomqvist Claesson Mårtensson
Nordin Ström Åberg Ekström Hermansson Dahl Falk Hedlund Sundberg Öberg Sjögren Lind
"""

PLACES = """
Stockholm Göteborg Malmö Uppsala Linköping Örebro Helsingborg Jönköping Lund Umeå Gävle Borås
Eskilstuna Södertälje Karlstad Täby Växjö Halmstad Sundsvall Luleå Trollhättan Kalmar Falun
Skellefteå Karlskrona Kristianstad Skövde Uddevalla Varberg Nyköping Lidköping Motala Landskrona
Örnsköldsvik Piteå Kiruna Ystad Mora Visby Ängelholm Alingsås Sigtuna Enköping Strängnäs Mariestad
Arvika Hudiksvall Ljungby Värnamo Nässjö Eksjö Vimmerby Tranås Skåne Dalarna Småland Värmland
Lappland Halland Blekinge Dalsland Hälsingland Jämtland Närke Sverige Norge Danmark Finland Island
Tyskland Frankrike Italien Spanien Portugal England Skottland Irland Polen Ryssland Ukraina Estland
Lettland Litauen Österrike Schweiz Ungern Rumänien Bulgarien Grekland Turkiet Egypten Marocko Kenya
Indien Kina Japan Korea Vietnam Kanada Mexiko Brasilien Argentina Chile Australien Iran Irak Syrien
Israel Oslo Bergen Köpenhamn Helsingfors Åbo London Paris Berlin Hamburg München Wien Rom Madrid
Lissabon Dublin Warszawa Prag Budapest Aten Moskva Kiev Istanbul Kairo Tokyo Peking Chicago Boston
Europa Afrika Asien Amerika Bryssel Amsterdam Tallinn Riga Vilnius Genève Zürich
"""


# The grammar. Lines are "symbol = alternative | alternative"; "3*" in front is a weight. A symbol
# with @ is written once for all verb forms, one with $ once for all noun meanings.
NOUN_RULES = """
$.def.u = 4*<$.u.sd> | 3*den <mod.d> <$.u.sd> | den här <$.u.sd> | den där <$.u.sd> | denna <$.u.si>
    | <poss.u> <$.u.si> | <poss.u> <adj.d> <$.u.si> | <gen> <$.u.si> | <gen> <adj.d> <$.u.si>
    | hela <$.u.sd> | den <ordinal> <$.u.sd> | samma <$.u.si> | den <super.d> <$.u.sd>
$.def.n = 4*<$.n.sd> | 3*det <mod.d> <$.n.sd> | det här <$.n.sd> | det där <$.n.sd> | detta <$.n.si>
    | <poss.n> <$.n.si> | <poss.n> <adj.d> <$.n.si> | <gen> <$.n.si> | <gen> <adj.d> <$.n.si>
    | hela <$.n.sd> | det <ordinal> <$.n.sd> | samma <$.n.si> | det <super.d> <$.n.sd>
$.def.p = 4*<$.pd> | 3*de <mod.d> <$.pd> | de här <$.pd> | de där <$.pd> | dessa <$.pi>
    | <poss.p> <$.pi> | <poss.p> <adj.d> <$.pi> | <gen> <$.pi> | alla <$.pi> | båda <$.pd>
    | de <few> <$.pd> | de flesta <$.pi> | de andra <$.pd>
$.ind.u = 3*en <$.u.si> | 3*en <mod.u> <$.u.si> | någon <$.u.si> | varje <$.u.si>
    | en annan <$.u.si> | en <compar> <$.u.si> | en egen <$.u.si> | en <degree> <adj.u> <$.u.si>
$.ind.n = 3*ett <$.n.si> | 3*ett <mod.n> <$.n.si> | något <$.n.si> | varje <$.n.si>
    | ett annat <$.n.si> | ett <compar> <$.n.si> | ett eget <$.n.si> | ett <degree> <adj.n> <$.n.si>
$.ind.p = 3*<$.pi> | 3*<mod.p> <$.pi> | några <$.pi> | några <adj.p> <$.pi> | många <$.pi>
    | flera <$.pi> | <few> <$.pi> | andra <$.pi> | vissa <$.pi> | olika <$.pi> | <compar> <$.pi>
$.def = 4*<$.def.u> | 2*<$.def.n> | 3*<$.def.p>
$.ind = 4*<$.ind.u> | 2*<$.ind.n> | 3*<$.ind.p>
$ = 3*<$.def> | 2*<$.ind>
$.any = <$.u.sd> | <$.n.sd> | <$.pd> | <$.pi>
"""
VERB_RULES = """
vp@ = 2*<i@> | <i@> <manner> | 2*<i@> <place> | <i@> <time> | 3*<t@> <thing> | <t@> <thing> <place>
    | <t@> <thing> <time> | 2*<p@> <person> | 2*<prep@> <topic> | 2*<phrasal@> | <i@> <with>
    | <i@> och <i@> | <t@> <a> | <t@> <mass> | <c@> att <clause> | <t@> <thing> <place> <time>
    | <p@> <person> <time> | <i@> <place> <time> | <t@> <thing> <with>
    | <p@> <person> och <t@> <thing> | <modal-tail@>
modal-tail@ = <i@> <place> för att <short.inf> | <t@> <thing> utan att <short.inf>
    | <i@> genom att <short.inf> | <t@> <thing> i stället för <thing> | <p@> <person> <place>
short@ = 2*<i@> | <i@> <manner> | <i@> <place> | <t@> <t.any> | <p@> <obj> | <phrasal@>
    | <prep@> <a.any>
"""
CLAUSE_RULES = """
clause@ = 2*<subj> <vp@> | <subj> <adverb> <vp@> | <subj> <short@> | <a.def> <adverb> <s@>
inverted@ = <i@> <subj> | <i@> <subj> <place> | <t@> <subj> <thing> | <p@> <subj> <person>
    | <t@> <subj> <adverb> <t.any> | <prep-verb@> | <s@> <a.def> | <s@> <t.def> <place>
past@ = <t@> | <i@>
main@ = 2*<subj3> <reflexive@>. | <subj3> <reflexive@> <place>. | <subj3> <vp@> och <reflexive@>.
    | <p.pd> <p@> varandra. | 3*<subj> <vp@>. | 2*<subj> <vp@> och <vp@>.
    | <subj> <vp@>, men <clause@>. | <subj> <vp@> eftersom <clause@>.
    | <subj> <c@> att <clause@> när <clause@>. | 2*<time> <inverted@> <place>.
    | <p.def> från <place.name> <vp@> <time>. | <p.def> som <vp@> <t@> <thing>.
    | <p.def> med <t.def> <vp@>. | <t.def> från <l.def> <s@> av <p.def> <time>.
    | När <clause@> <inverted@> <place>. | <subj> <t@> <thing> för att <vp.inf>.
    | <a.def> som <subj> <t@> <s@> <time>. | <subj> <i@> <adverb>. | <subj> <t@> <adverb> <thing>.
    | <subj> <p@> <adverb> <person>. | <subj> <t@> inte <t.any>. | <subj> <c@> att <clause@>.
    | <front> <inverted@>. | <time> <inverted@>. | <place> <inverted@>. | När <clause@> <inverted@>.
    | Om <clause@> <inverted@>. | Eftersom <clause@> <inverted@>. | <subj> <vp@> när <clause@>.
    | <subj> <short@> eftersom <clause@>. | <subj> <short@>, men <subj> <short@>.
    | <subj> <short@> och <subj> <short@>. | <subj> <short@> för att <short.inf>.
    | <subj> <short@> medan <clause@>. | <subj> <short@> innan <clause@>.
    | <subj> <short@> tills <clause@>. | <subj> <short@>, fastän <clause@>.
    | Trots att <clause@> <inverted@>. | <p.def>, som <short@>, <vp@>.
    | <p.ind> som <short@> <short@>. | <subj> <t@> <t.def> som <subj> <t@>.
    | Den som <short@> <short@>. | De som <short@> <short@>. | <a.def> <s@> av <p>.
    | <t.def> <s@> <place>. | I <l.def> <s@> <t.ind>. | <a.def> <s@> <time>.
    | Det <s@> <t.ind.p> <place>. | <subj3> <t@> <own>. | <subj3> <p@> <own.p>.
    | <name>, <poss.u> <p.u.si>, <vp@>. | <name> <surname> <vp@>. | <mass.d> <s@> <place>.
    | <subj> <i@> utan <thing>. | <subj> <vp@> <time>. | Både <name> och <name> <short@>.
    | Varken <p.def> eller <p.def> <short@>. | Ingen <p.u.si> <short@>. | Inget <p.n.si> <short@>.
    | Inga <p.pi> <short@>. | Ju <compar> <a.u.sd> är, desto mer <inverted@>.
    | <subj> <t@> <t.any>, <t.any> och <t.any>. | Där <inverted@>. | Så <inverted@>. | Vem <vp@>?
    | Vem <short@>? | Vad <t@> <subj>? | Var <i@> <subj>? | När <i@> <subj>? | Hur <i@> <subj>?
    | Varför <inverted@>? | Vilken <p.u.si> <short@>? | Vilket <t.n.si> <t@> <subj>?
    | Vilka <p.pi> <short@>? | <inverted@>? | <i@> <subj> <place>? | <t@> <subj> <thing>?
    | Vems <t.u.si> <t@> <subj>? | <name> <i@>. | <p.u.sd> <i@>. | <p.pd> <i@>.
    | <pron> <i@> <manner>. | <pron> <t@> <obj.t>. | <name> <p@> <obj>. | <pron> <phrasal@>.
    | <name> <phrasal@>. | <p.any> <short@>.
"""
RULES = """
pron = jag | du | han | hon | den | det | vi | ni | de | man | hen
obj = mig | dig | honom | henne | oss | er | dem | <name>
obj.t = den | det | dem | allt | ingenting | något | mycket | båda | <mass>
poss.u = min | din | hans | hennes | dess | vår | er | deras
poss.n = mitt | ditt | hans | hennes | dess | vårt | ert | deras
poss.p = mina | dina | hans | hennes | dess | våra | era | deras
own = sin <t.u.si> | sin <adj.d> <a.u.si> | sitt <t.n.si> | sitt <adj.d> <a.n.si> | sina <t.pi>
    | sina <adj.d> <a.pi>
own.p = sin <p.u.si> | sina <p.pi> | sin <adj.d> <p.u.si> | sitt <p.n.si>
gen = 3*<name.g> | <place.g> | <p.g> | <a.g> | <l.g>
few = två | tre | fyra | fem | sex | sju | åtta | nio | tio | elva | tolv
mod.u = 5*<adj.u> | <part.u> | <active>
mod.n = 5*<adj.n> | <part.n> | <active>
mod.p = 5*<adj.p> | <part.p> | <active>
mod.d = 5*<adj.d> | <part.d> | <active>
subj3 = 2*<name> | han | hon | <name> <surname> | <p.def>
subj = 3*<pron> | 2*<name> | 3*<p.def> | <p.ind> | <name> och <name> | <poss.u> <p.u.si>
thing = 3*<t> | 2*<a> | <obj.t> | <t.ind> och <t.ind>
person = 2*<p> | <obj> | <name> <surname> | <name> och <name>
topic = 2*<a> | <t> | <p> | <name> | <mass> | det | att <short.inf>
with = med <p> | med <name> | utan <person> | för <person> | hos <person> | mot <person>
mass = <mass.i> | <mass.d>
place = 3*i <l.def> | i <place.name> | på <l.def> | vid <l> | utanför <l.def> | bakom <t.def>
    | under <t.def> | framför <l.def> | bredvid <t.def> | mellan <t.def> och <t.def> | från <l.def>
    | till <place.name> | genom <l.def> | hos <p.def> | nära <l.def> | på jobbet | på landet
    | i skolan | runt <l.def> | längs <l.def> | på bussen | hemma hos <name> | inom <a.def>
    | bland <p.pi>
time = i går | i dag | i morgon | i kväll | i natt | på <weekday.d> | förra veckan | nästa vecka
    | i somras | varje dag | hela dagen | på kvällen | på morgonen | om en stund | för länge sedan
    | i flera år | sedan dess | under <a.def> | efter <a.def> | före <a.def> | inför <a.def>
    | vid midnatt | varje <weekday> | i <month> | i fjol | en gång i veckan | för <few> år sedan
    | om <few> dagar
clause = <clause.pres> | <clause.pret>
modal = kan | kunde | ska | skulle | vill | ville | måste | bör | borde | får | fick | brukar
    | behöver | tänker | försöker | hinner | vågar | lär | tycks | verkar
bare = kan | kunde | ska | skulle | vill | ville | måste | bör | borde | får | fick
short.sup.has = har <short.sup> | hade <short.sup>
copula = är | är | var | blir | blev | verkar | förblir
pred.u = <adj.u> | <degree> <adj.u> | <compar> | inte <adj.u> | <part.u> | för <adj.u>
    | lika <adj.u>
pred.n = <adj.n> | <degree> <adj.n> | <compar> | inte <adj.n> | <part.n> | för <adj.n>
pred.p = <adj.p> | <degree> <adj.p> | <compar> | inte <adj.p> | <part.p> | <adj.p> och <adj.p>
noun.u = <p.u.si> | <t.u.si> | <a.u.si> | <l.u.si>
noun.n = <t.n.si> | <a.n.si> | <l.n.si>
noun.p = <p.pi> | <t.pi> | <a.pi> | <l.pi>
any = <p.any> | <t.any> | <a.any> | <l.any>
noun = <p> | <t> | <a> | <l>
state = <p.def.u> <copula> <pred.u>. | <p.def.p> <copula> <pred.p>. | <a.def.u> <copula> <pred.u>.
    | <a.def.n> <copula> <pred.n>. | <a.def.p> <copula> <pred.p>. | <t.def.u> <copula> <pred.u>.
    | <t.def.n> <copula> <pred.n>. | <t.def.p> <copula> <pred.p>. | <l.def.u> <copula> <pred.u>.
    | <l.def.n> <copula> <pred.n>. | <name> är <p.u.si>. | <name> var en <adj.u> <p.u.si>.
    | Det är <adj.n> att <short.inf>. | Det är <degree> <adj.n>. | <a.def.u> är <compar> än <a.def>.
    | <t.def.u> är <super> i <l.def>. | Det finns <t.ind> <place>. | Det fanns <a.ind>.
    | Det är <p.def>. | Är <p.u.sd> <adj.u>? | Är <t.n.sd> <adj.n>? | Är <a.pd> <adj.p>?
    | Hur <adj.u> är <t.u.sd>? | <name> och <name> är <adj.p>. | <mass.d> är slut.
    | Det blir <a.ind>. | Vi är <adj.p>. | <p.pd> från <place.name> är <adj.p>.
    | <place.name> är en <adj.u> <l.u.si>. | Jag är <adj.u>. | <t.u.sd> är <adj.u>.
    | <t.n.sd> är <adj.n>. | <t.pd> är <adj.p>. | <a.u.sd> är <adj.u>. | <name> är <adj.u>.
    | <p.u.sd> är <adj.u>. | <a.pd> blev <adj.p>. | Är du <adj.u>? | Allt är <adj.n>.
modal.s = <subj3> <bare> <reflexive.inf>. | <subj> <modal> <vp.inf>. | <subj> <modal> inte <vp.inf>.
    | <front> <bare> <subj> <vp.inf>. | <bare> <subj> <vp.inf>?
    | <subj> <bare> <adverb> <short.inf>. | <a.def> <bare> <s.inf>. | <t.def> måste <s.inf> <time>.
    | Om <subj> <bare> <short.inf> <bare> <subj> <short.inf>. | Man bör <vp.inf>.
    | <subj> ska <short.inf>. | Det kan <s.inf>. | Kan du <short.inf>? | Vi måste <short.inf>.
    | Vill <pron> <short.inf>? | Att <short.inf> är <adj.n>.
    | För att <short.inf> måste man <short.inf>. | <subj> <bare> <short.inf> och <short.inf>.
    | <subj> har lovat att <short.inf>. | Ska vi <short.inf>?
perfect = <subj> har <vp.sup>. | <subj> hade <vp.sup>. | <subj> har inte <vp.sup>.
    | Har <subj> <vp.sup>? | <front> har <subj> <vp.sup>. | <a.def> har <s.sup>.
    | <t.def> hade <adverb> <s.sup>. | <subj> <c.pret> att <subj> hade <short.sup>.
    | När <subj> hade <short.sup> <inverted.pret>. | Har du <short.sup>? | <name> har <short.sup>.
    | Vem har <short.sup>? | <pron> hade <i.sup>. | <subj> skulle ha <short.sup>.
    | <p.pd> har <adverb> <short.sup>.
order = <imp.t> <t.def>! | <imp.t> <t.any>. | <imp.t> inte <t.any>. | <imp.i>! <imp.i> nu!
    | <imp.t> <thing>, <name>! | <imp.t> <t.def> och <imp.t> <t.def>. | <imp.i> <place>!
    | <imp.i> inte <place>. | <imp.p> <person>! | Snälla <name>, <imp.t> <t.any>.
    | <imp.i> <manner>! | <imp.t> <a.any>! | Låt <obj> <short.inf>. | Låt oss <short.inf>.
    | <imp.p> <obj>! | Glöm inte att <short.inf>. | Var inte <adj.u>! | Var så <adj.u>!
    | Försök att <short.inf>. | Sluta <inf.i>!
headline = <a.def>. | <adj.p> <a.pi> i <place.name>. | Den <adj.d> <l.u.g> <a.u.si> för <p.pd>.
    | <a.any> och <a.any>. | <a.ind> för <p.pi>. | <place.g> <a.pi>. | <a.g> <a.u.si>.
    | <a.g> <a.n.si>. | <p.g> <a.pi> och <a.pi>. | <mass.i> och <mass.i>. | <a.pi> utan <a.pi>.
    | Om <a.any> och <a.any>. | <a.ind> <s.pres>. | <a.ind> <s.pret> i <place.name>.
    | <part.p> <a.pi>. | <adj.p> <t.pi> till <p.pi>. | <a.any> mellan <p.pi> och <p.pi>.
    | <name.g> <adj.d> <t.u.si>. | <p.ind> från <place.name>. | En <adj.u> <noun.u>.
    | Ett <adj.n> <noun.n>. | Den <adj.d> <p.u.sd>. | Det <adj.d> <t.n.sd>. | De <adj.d> <a.pd>.
    | <adj.p> <noun.p>. | <noun.p> och <noun.p>. | <name.g> <noun.n>. | Min <adj.d> <t.u.si>.
    | <compound.u.sd>. | <compound.pi>. | <compound.n.sd> för <p.pi>. | Nya <compound.pi>.
    | <any>, <any> och <any>. | Mer <mass.i> till <p.pd>. | Ingen <mass.u>, ingen <mass.u>.
    | <adj.u>, <adj.u> och <adj.u>. | <place.name>, <place.name> och <place.name>.
    | <name>, <name> och <name>. | <name> <surname>. | Vilken <adj.u> <noun.u>!
    | Vilket <adj.n> <noun.n>! | Så <adj.n>! | Vilka <adj.p> <noun.p>! | Inga <noun.p>.
    | Varje <noun.u>.
essay = Enligt <p.def> <bare> <a.def> <s.inf>. | <a.def> bidrar till <a.ind>.
    | <a.def> beror på <a.def>. | Frågan om <a.def> har <adverb> <s.sup>.
    | Det är <p.g> ansvar att <short.inf>. | <a.g> betydelse för <a.def>.
    | Syftet med <a.def> är att <short.inf>. | Genom <a.def> kan <subj> <short.inf>.
    | <a.def> och <a.def> hör ihop. | Å ena sidan är <a.u.sd> <adj.u>, å andra sidan <adj.u>.
    | I dagens samhälle är <a.u.sd> <adj.u>. | Det innebär att <clause>. | Detta leder till <a.ind>.
    | Därför är <a.n.sd> <adj.n>. | Utan <a.ind> ingen <a.u.si>.
    | Till följd av <a.def> <inverted.pret>. | I fråga om <a.any> är <p.pd> <adj.p>.
    | Vidare <bare> <a.def> <s.inf>. | Med hänsyn till <a.def> <bare> <subj> <short.inf>.
    | <place.g> <compound.u.si> <s.pres> av <p.def>. | <compound.u.sd> <bare> <s.inf>.
    | <compound.pd> är <adj.p>. | <compound.n.sd> är <adj.n>. | Förslaget om <compound.pi> <s.pret>.
    | Enligt <compound.u.sd> är <a.pd> <adj.p>. | Kommunen har infört <compound.pi>.
    | Regeringen <t.pret> <a.any>. | De <super.d> <compound.pd> finns i <place.name>.
    | Antalet <compound.pi> har <s.sup>. | Sambandet mellan <a.any> och <a.any> är <adj.n>.
    | Såväl <a.def> som <a.def> <s.pret>. | Det gäller <a.def>.
    | Dels <bare> <a.def> <s.inf>, dels <bare> <a.def> <s.inf>.
    | Han arbetar som <p.u.si> i <place.name>. | <name> <surname> är <p.u.si> på <l.def>.
    | Både <compound.u.sd> och <compound.u.sd> <s.pres>.
    | <name> <surname>, <p.u.si> från <place.name>, <t.pret> <t.def>.
    | <p.pd> i <place.name> <t.pret> <t.def>.
dialogue = Ja, det tror jag. | Nej, inte <time>. | Tack, <name>! | Vad menar du, <name>?
    | Kom hit, <name>! | Hej, <name>! | Hej då, <name>! | God morgon, <name>! | God natt, <name>.
    | Jag vet inte, <name>. | Jaha, <clause.pres>. | Nej, <clause.pres>. | Ja, <clause.pret>.
    | Jo, men <clause.pret>. | Oj, vilken <adj.u> <t.u.si>! | Är det <poss.n> <t.n.si>?
    | Är det <poss.u> <t.u.si>? | Jag älskar <t.pi>! | Tycker du om <t.pi>? | Jag vill ha <t.ind>.
    | Får jag <short.inf>? | Nej, jag <bare> inte <short.inf>. | Förlåt mig, <name>.
    | Var är <t.def>? | Vem är <p.def>? | Vad är <a.ind>? | Vad heter <p.def>?
    | Bor du i <place.name>? | Jag kommer från <place.name>. | Tack för <t.def>. | Tack så mycket!
    | Grattis, <name>! | Välkommen till <place.name>! | Sa du <noun.u> eller <noun.n>?
    | Inte <t.def>! | Ingen aning, <name>. | Det där är <name.g> <noun.u>. | Och <p.def> då?
    | Men <t.def> då? | Vilken <t.u.si> menar du? | Här är <t.def>. | Där är <p.def>.
    | Titta, <t.ind>! | Vi ses i <place.name>. | Vi ses <time>. | Jag heter <name>.
    | Hon heter <name> <surname>. | Jag med. | Varför inte <a.any>? | Med eller utan <mass.i>?
    | Vill du ha <mass.i>? | Lite <mass.i>, tack. | Mer <mass.i>? | Hur mår <p.def>?
    | Det gör ingenting. | Det var <adj.n>. | Det låter <adj.n>. | Det är <adj.n>, <name>.
    | Jag bryr mig inte om <a.any>. | Själv <bare> jag <short.inf>. | Hur många <noun.p> finns det?
    | Hur många <noun.p>?
open = 5*<main.pres> | 5*<main.pret> | 2*<state> | 2*<modal.s> | 2*<perfect> | <order>
    | 3*<headline> | 3*<essay> | 2*<dialogue>
hour = ett | två | tre | fyra | fem | sex | sju | åtta | nio | tio | elva | tolv
clock = <hour> | halv <hour> | kvart i <hour> | kvart över <hour> | fem i <hour> | fem över <hour>
    | tio i <hour> | tio över <hour> | tjugo i <hour> | tjugo över <hour> | fem i halv <hour>
    | fem över halv <hour> | <few> minuter över <hour>
month = januari | februari | mars | april | maj | juni | juli | augusti | september | oktober
    | november | december
date = den <day> <month> | <weekday.d> den <day> <month> | den <day> <month> <year>
count = 2*<tens> | <hundreds> | <thousands> <hundreds> | <thousands>
pair = <digit> <digit>
triple = <digit> <digit> <digit>
digits = <triple> | <triple> <pair> | noll sju <digit>, <triple>, <pair> | <pair>, <pair>, <pair>
    | <triple>, <triple> | noll åtta, <triple>, <pair>, <pair> | <pair> <pair>
    | <triple>, <pair>, <pair>
price = <tens> kronor | <hundreds> kronor | <thousands> <hundreds> kronor
    | <tens> kronor och femtio öre | <thousands> kronor | <tens> euro | <tens> dollar
    | <few> miljoner kronor
number = <name> är <tens> år och bor i <place.name>. | <name> <surname>, <digits>.
    | <goods> väger <hundreds> gram. | Mellan <tens> och <hundreds> personer kom.
    | Det är <count> mil till <place.name>. | <tens> procent av <p.pd>.
    | <place.name> har <thousands> <hundreds> invånare.
    | <name> kom på <ordinal> plats i <place.name>. | <count>. | <digits>. | Nummer <count>.
    | <ordinal>, <ordinal> och <ordinal>. | Den <ordinal> gången. | <tens> och <tens>.
    | <count> gånger. | <tens> procent. | <tens> komma <digit>. | <tens> plus <tens> är <tens>.
    | Sida <hundreds>. | Kapitel <tens>. | Koden är <digits>. | Mitt nummer är <digits>.
    | Ring <digits>. | Numret är <digits>. | Hon är <tens> år. | <name> fyller <tens> år.
    | Det var <count> personer där. | Rum <hundreds>. | Ungefär <hundreds> personer.
    | Mer än <tens> procent. | <tens> minus <tens>. | <tens> av <hundreds>.
    | Plats <tens>, vagn <few>. | Linje <tens> mot <place.name>. | Spår <tens>.
    | <fraction> av <hundreds>. | <few> och en halv. | <digit>, <digit>, <digit>, <digit>.
    | <fraction> liter <grocery>. | <tens> kilo <grocery>. | <hundreds> gram <grocery>.
calendar = <name> <surname> föddes <date> i <place.name>.
    | Kriget tog slut den <day> <month> <year>. | Året var <year>. | Mötet är flyttat till <date>.
    | Från <date> till den <day> <month>. | <name> fyller år den <day> <month>.
    | Vi ses <weekday> klockan <clock> i <place.name>. | 2*<date>. | I dag är det <date>.
    | <name> är född <date>. | Det hände år <year>. | År <year>. | I <month> <year>.
    | <weekday> klockan <clock>. | Mötet är på <weekday> klockan <clock>. | Vi ses på <weekday>.
    | Första <weekday.d> i <month>. | Vilken dag är det i dag? | Är det <weekday> i dag?
    | Tiden är bokad till <date>. | Från <month> till <month>. | Boka ett möte med <name> <date>.
    | Vad gör jag på <weekday>? | Vecka <week>. | På <weekday> vecka <week>. | Den <day> <month>.
    | Lägg in <event> på <weekday> klockan <clock>. | När är <event.d>?
    | Ta bort <event.d> på <weekday>. | Vintern <year>. | Hösten <year>. | Våren <year>.
    | Sommaren <year>. | Hur länge är det till <month>? | Vilket datum är <weekday>?
time.s = Tåget till <place.name> avgår klockan <clock> från spår <few>.
    | Väck mig <weekday> klockan <clock>. | Nästa buss till <place.name> går om <tens> minuter.
    | Ställ en väckarklocka på <clock> varje <weekday>. | <shop> öppnar <clock> och stänger <clock>.
    | Har <shop> öppet klockan <clock>? | <name> kommer klockan <clock> på <weekday>.
    | Sätt en timer på <tens> minuter och <tens> sekunder. | Klockan är <clock>. | Klockan <clock>.
    | <clock>. | Vad är klockan i <place.name>? | Tåget går <clock>. | Ring mig <clock>.
    | Bussen till <place.name> går <clock>. | Väck mig <clock>. | Ställ en väckarklocka på <clock>.
    | Vi ses klockan <clock>. | Mötet börjar <clock>. | Flyget landar <clock>.
    | Öppet från <hour> till <hour>. | I morgon klockan <clock>. | Är klockan <clock>?
    | Sätt en timer på <tens> minuter. | Påminn mig klockan <clock>.
    | Påminn mig om <event.d> klockan <clock>. | <tens> minuter kvar. | Om <tens> minuter.
    | <tens> sekunder. | Hur lång tid är det kvar? | Stäng av väckarklockan.
    | Ställ om väckarklockan till <clock>. | Vad är klockan? | Pausa timern. | Avbryt alla timrar.
    | Bara <tens> minuter till.
price.s = <grocery> kostar <price> kilot. | <goods> kostade <price> i <month>.
    | <name> är skyldig mig <price>. | Lönen är <thousands> kronor i månaden.
    | Jag tjänar <price> mer än <name>. | Sänk priset från <price> till <price>. | <price>.
    | Det kostar <price>. | Det blir <price>. | Vad kostar <goods>? | <goods> kostar <price>.
    | Priset är <price>. | Jag betalade <price> för <goods>. | Totalt <price>. | Hyran är <price>.
    | Har du <price>? | Bara <price>! | Betala <price> till <name>. | Räkningen är på <price>.
    | Minus <tens> procent. | För dyrt, högst <price>. | Skicka <price> till <name>.
    | Inklusive moms, <price>. | Hur mycket kostar en biljett till <place.name>?
    | Biljetten till <place.name> kostar <price>. | Två för <price>.
room = i <room.n> | i <room.n> | på <room.p>
room.n = köket | vardagsrummet | sovrummet | badrummet | hallen | källaren | garaget | barnrummet
    | arbetsrummet | tvättstugan | matsalen | gästrummet | biblioteket | förrådet | duschen
    | trapphuset | kontoret
room.p = balkongen | altanen | toaletten | övervåningen | bottenvåningen | gården | uppfarten
device = lampan | taklampan | golvlampan | sänglampan | fläkten | elementet | teven | radion
    | högtalaren | datorn | kaffebryggaren | spisen | ugnen | diskmaskinen | tvättmaskinen
    | dammsugaren | larmet | torktumlaren | skrivaren | alla lampor | ljuset | utebelysningen
    | projektorn | brödrosten | vattenkokaren
cover = dörren | ytterdörren | fönstret | garageporten | persiennerna | gardinerna | grinden
    | luckan | jalusin
genre = lugn | glad | gammal | klassisk | svensk | modern | romantisk | avslappnande | festlig
    | irländsk | fransk | spansk | amerikansk | isländsk
style = musik | jazz | pop | rock | blues | opera | folkmusik | dansmusik | barnmusik | kammarmusik
    | reggae | pianomusik | gitarrmusik | julmusik | körmusik
grocery = mjölk | smör | bröd | kaffe | te | ost | potatis | lök | grädde | socker | mjöl
    | havregryn | ägg | äpplen | bananer | tomater | gurka | ris | pasta | kyckling | fisk | skinka
    | juice | choklad | diskmedel | tvättmedel | toalettpapper | honung | jäst | senap | ketchup
    | morötter | vitlök | paprika | sallad | yoghurt | filmjölk | köttbullar | korv | salt | peppar
    | olja | vinäger | russin | nötter | blåbär | hallon | lingon | sylt
event = tandläkaren | ett möte | en lunch | frisören | fotbollsträningen | en fika | läkarbesöket
    | föräldramötet | bilbesiktningen | en resa | middagen | bokcirkeln | simskolan | pianolektionen
    | tvättiden | städningen
event.d = tandläkaren | mötet | lunchen | frisören | fotbollsträningen | läkarbesöket
    | föräldramötet | bilbesiktningen | resan | middagen | bokcirkeln | simskolan | pianolektionen
    | tvättiden | soporna | medicinen | räkningarna | blommorna | tvätten | paketet | nästa match
    | <name.g> födelsedag | bröllopet | konserten | provet
goods = biljetten | cykeln | boken | jackan | <grocery> | skorna | telefonen | lampan | bordet
    | stolen | klockan | hyran | middagen | resan | tårtan | väskan | soffan | hyrbilen | rummet
    | kursen
chore = vattna blommorna | gå ut med hunden | ringa <name> | köpa <grocery> | betala räkningarna
    | hämta barnen | ta medicinen | tvätta bilen | boka tid hos läkaren | mata katten
    | lämna tillbaka boken | städa <room.n> | hämta paketet | byta lakan | slänga soporna
    | packa väskan | handla <grocery> och <grocery> | svara <name>
please = tack | snälla | är du snäll
task = tänd <device> | släck <device> | slå på <device> | stäng av <device> | öppna <cover>
    | stäng <cover> | lås <cover> | spela <genre> <style> | spela <style> | ring <name>
    | påminn mig om <event.d> | köp <grocery> | <chore.imp>
chore.imp = beställ <grocery> | skriv upp <grocery> | svara <name> | läs nyheterna | höj volymen
    | sänk volymen | pausa musiken
when = klockan <clock> | på <weekday> | om <tens> minuter | i kväll | i morgon | nu
    | <weekday> klockan <clock> | efter <event.d> | före <event.d> | den <day> <month>
    | varje <weekday> | i <month>
command = 3*<task> <room> <when>. | 3*<task> <when>. | 3*<task> och <task>. | <task>, <please>.
    | Kan du <ask>? | Vill du <ask>? | Snälla, <task> <room> och <task>. | Jag vill att du <asks>.
    | <name>, <task> <when>. | När klockan är <clock>, <task>. | 2*Påminn mig <when> om att <chore>.
    | Skriv till <name> att vi ses <when>. | Fråga <name> om vi kan <chore> <when>.
    | Lägg till <grocery>, <grocery> och <grocery> på listan. | Jag behöver <chore> <when>.
    | Måste jag <chore> <when>? | Har jag tid att <chore> <when>? | Vem ska <chore> <when>?
    | Glöm inte att <chore> <when>. | Vi har slut på <grocery> och <grocery>.
    | Tänd <device> <room>. | Släck <device> <room>. | Slå på <device>. | Stäng av <device> <room>.
    | Starta <device> <room>. | Öppna <cover> <room>. | Stäng <cover>. | Lås <cover>.
    | Lås upp <cover>, <please>. | Sänk <device> till <tens> procent.
    | Spela <genre> <style> <room>. | Spela lite <genre> <style>. | Spela <style>, <please>.
    | Höj volymen <room>. | Sänk volymen. | Spela nästa låt. | Sluta spela. | Pausa musiken <room>.
    | Ring <name>. | Ring upp <name> <surname>. | Ring <name> på mobilen.
    | Skicka ett meddelande till <name>. | Läs upp mina meddelanden.
    | Skriv till <name> att jag är sen. | Svara <name>. | Skriv upp <grocery> på inköpslistan.
    | Köp <grocery> och <grocery>. | Lägg till <grocery>, <grocery> och <grocery>.
    | Ta bort <grocery> från listan. | Påminn mig om att <chore>.
    | Påminn mig på <weekday> om att <chore>. | Kör till <place.name>.
    | Visa vägen till <place.name>. | Visa bilder från <place.name>. | Läs nyheterna.
    | Sök efter hotell i <place.name>. | Boka ett bord för <few> personer klockan <clock>.
    | Boka en biljett till <place.name> på <weekday>. | Översätt det till <language>.
    | Byt till kanal <few>. | Gör ljuset <colour> <room>. | Dammsug <room.n>, <please>. | Höj.
    | Sänk lite till. | Hjälp mig. | Vänta lite. | Säg det igen. | Börja om. | Fortsätt läsa boken.
    | Stopp. | Tyst, <please>. | Aktivera larmet. | Stäng av allt. | Spela podden igen.
    | Nästa, <please>. | Tänd <device>. | Släck <device>. | Jag vill lyssna på <style>.
    | Hitta ett recept med <grocery>. | <device>, <please>. | Sätt på <device> klockan <clock>.
    | Stäng av <device> om <few> minuter.
language = svenska | engelska | norska | danska | finska | tyska | franska | spanska | italienska
    | ryska | polska | arabiska | japanska | kinesiska | grekiska | turkiska
colour = rött | grönt | blått | gult | vitt | lila | rosa | starkare | svagare | mörkare | ljusare
ask = tända <device> <room> | släcka <device> <room> | stänga <cover> <when> | öppna <cover>
    | spela <genre> <style> <room> | ringa <name> <when> | påminna mig om <event.d> <when>
    | köpa <grocery> och <grocery> | <chore> <when> | låsa <cover>
asks = tänder <device> <room> | släcker <device> <when> | ringer <name> <when>
    | spelar <genre> <style> <room> | låser <cover> | påminner mig om att <chore>
    | väcker mig <clock> | skriver upp <grocery> och <grocery>
question = När öppnar <shop> på <weekday>? | Hur långt är det från <place.name> till <place.name>?
    | Vad kostar <grocery> på <shop.i>? | När går bussen från <place.name> till <place.name>?
    | Hinner jag till <shop> före <clock>? | Vad är <tens> minus <tens>?
    | Hur tar jag mig till <place.name> från <place.name>? | Är <device> på <room>?
    | Hur långt är det till <place.name>? | Var ligger <place.name>? | Hur många bor i <place.name>?
    | Vem är <name> <surname>? | Hur säger man <grocery> på <language>?
    | Vad betyder det på <language>? | När går nästa tåg till <place.name>? | När stänger <shop>?
    | Har <shop> öppet på <weekday>? | Var finns närmaste <shop.i>? | Är <device> på?
    | Är <cover> stängd? | Vad står på inköpslistan? | Har vi <grocery> hemma?
    | Finns det <grocery>? | Vad är <tens> gånger <few>? | Kan du ringa <name>?
    | Vad är <tens> plus <tens>? | Hur mycket är <count> delat med <few>?
    | Har jag några nya meddelanden? | Vad heter låten? | Vem sjunger? | Kan du tända <device>?
    | Vilken är huvudstaden i <place.name>? | Hur gammal är <name>? | Vad är det till middag?
    | Hur kokar man <grocery>? | Hur stavas <name>? | Hur mår du? | Vad kan du göra? | Är du där?
    | När kommer <name> hem?
shop = apoteket | banken | biblioteket | systembolaget | bageriet | posten | vårdcentralen | museet
    | affären | badhuset | gymmet | restaurangen | frisören | biografen | bensinstationen | kaféet
    | blomsterhandeln | bokhandeln
shop.i = apotek | bank | bibliotek | bageri | vårdcentral | museum | affär | badhus | gym
    | restaurang | biograf | bensinstation | kafé | blomsterhandel | bokhandel | tunnelbana
    | hållplats | toalett | parkering | sjukhus
fraction = hälften | en tredjedel | en fjärdedel | en femtedel | tre fjärdedelar | två tredjedelar
    | en tiondel
closed = 3*<number> | 2*<calendar> | 2*<time.s> | 2*<price.s> | 5*<command> | 2*<question>
"""

CLOSED_SHARE = 0.35
SHORT_KEPT = {
    2: 0.2,
    3: 0.25,
    4: 0.45,
    5: 0.8,
}  # Share of the short sentences, by words, that is kept.
SLOT = re.compile(r"<([^<>]+)>")
VOWELS = "aeiouyåäöé"
STRESSED = {"juvel", "kapten", "kvarter", "fenomen", "korridor", "metafor"}


def syllables(word: str) -> int:
    """Count the vowels."""
    return sum(letter in VOWELS for letter in word)


def contracted(word: str) -> str:
    """The stem that takes a vowel ending: nyckel -> nyckl, nummer -> numr, vacker -> vackr."""
    if word.endswith(("el", "er", "en")) and syllables(word) > 1 and word not in STRESSED:
        stem = word[:-2]
        return (stem[:-1] if stem.endswith("mm") else stem) + word[-1]
    return word


def decline(lemma: str, kind: str) -> tuple[str, str, str, str]:
    """The four forms of a regular noun."""
    stem = contracted(lemma)
    if kind == "or":
        return lemma, lemma + "n", lemma[:-1] + "or", lemma[:-1] + "orna"
    if kind in ("ar", "er"):
        takes_n = lemma[-1] in VOWELS or stem != lemma
        takes_n |= lemma.endswith("or") and syllables(lemma) > 1 and lemma not in STRESSED
        definite = lemma + ("n" if takes_n else "en")
        if lemma[-1] in "eo":
            plural = lemma + "r" if kind == "er" else lemma[:-1] + "ar"
        else:
            plural = stem + kind
        return lemma, definite, plural, plural + "na"
    if kind == "are":
        return lemma, lemma + "n", lemma, lemma[:-1] + "na"
    if kind == "re":
        return lemma, lemma + "n", lemma, lemma + "na"
    if kind == "n":
        return lemma, lemma + "t", lemma + "n", lemma + "na"
    if kind == "ner":
        return lemma, lemma + "et", lemma + "er", lemma + "erna"
    if kind == "um":
        return lemma, lemma[:-2] + "et", lemma[:-2] + "er", lemma[:-2] + "erna"
    if kind == "0m":
        return lemma, lemma + "met", lemma, lemma + "men"
    ending = ("t", "n") if lemma[-1] in "e" else ("et", "en")
    return lemma, stem + ending[0], lemma, stem + ending[1]


def genitive(word: str) -> str:
    """Add the genitive s where it is written."""
    return word if word[-1] in "sxz" else word + "s"


def conjugate(infinitive: str, kind: str) -> tuple[str, str, str]:
    """Present, preterite and supine of a regular verb."""
    stem = infinitive.removesuffix("a")
    if kind == "1":
        return infinitive + "r", infinitive + "de", infinitive + "t"
    if kind == "3":
        return infinitive + "r", infinitive + "dde", infinitive + "tt"
    present = stem if stem.endswith("r") else stem + "er"
    short = stem[:-1] if stem.endswith(("mm", "nn")) else stem
    if stem.endswith("nd"):
        return present, stem + "e", stem[:-1] + "t"
    if stem.endswith("t") and stem[-2] not in VOWELS:
        return present, stem + "e", stem
    return present, short + ("te" if stem[-1] in "kpstx" else "de"), short + "t"


def passive(form: str, infinitive: str) -> str:
    """The s-form of a verb form."""
    if form.endswith("er") and infinitive.endswith("a"):
        stem = form[:-2]
        return stem + ("es" if stem.endswith("s") else "s")
    if form.endswith("ar") or (form[-1] == "r" and not infinitive.endswith("a")):
        return form[:-1] + "s"
    return form + "s"


def participle(infinitive: str, preterite: str, supine: str) -> tuple[str, str, str]:
    """The past participle: common, neuter, plural."""
    if infinitive == "sprida":
        return "spridd", "spritt", "spridda"
    if supine.endswith("it"):
        stem = supine[:-2]
        plural = stem[:-1] if stem.endswith("nn") else stem
        return stem + "en", stem + "et", plural + "na"
    if supine.endswith("at"):
        return supine[:-1] + "d", supine, supine[:-1] + "de"
    if infinitive.endswith("ta") or preterite.endswith("te"):
        return supine, supine, supine + "a"
    if supine.endswith("tt"):
        return supine[:-2] + "dd", supine, supine[:-2] + "dda"
    if infinitive.endswith("nda"):
        return infinitive[:-1], supine, infinitive
    return supine[:-1] + "d", supine, supine[:-1] + "da"


def imperative(infinitive: str, present: str) -> str:
    """The imperative: tala, ring, bestäm, gå."""
    if present.endswith("ar") or not infinitive.endswith("a"):
        return infinitive
    stem = infinitive[:-1]
    return stem[:-1] if stem.endswith("mm") else stem


def inflect(adjective: str) -> tuple[str, str, str]:
    """The common, neuter and plural forms of a regular adjective."""
    stem = contracted(adjective)
    if adjective[-1] in "ae":
        return adjective, adjective, adjective
    if adjective.endswith("ad") and syllables(adjective) > 1:
        return adjective, adjective[:-1] + "t", adjective + "e"
    if adjective.endswith("en") and stem != adjective:
        return adjective, adjective[:-1] + "t", stem + "a"
    if adjective[-1] == "d":
        return adjective, adjective[:-1] + ("tt" if adjective[-2] in VOWELS else "t"), stem + "a"
    if adjective[-1] == "t":
        double = adjective[-2] in VOWELS and syllables(adjective) == 1
        return adjective, adjective + ("t" if double else ""), stem + "a"
    if adjective.endswith("nn"):
        return adjective, adjective[:-1] + "t", stem + "a"
    return adjective, adjective + ("tt" if adjective[-1] in VOWELS else "t"), stem + "a"


UNITS = """
noll ett två tre fyra fem sex sju åtta nio tio elva tolv tretton fjorton femton sexton sjutton arton
nitton
"""
ORDINAL_UNITS = """
första andra tredje fjärde femte sjätte sjunde åttonde nionde tionde elfte tolfte trettonde
fjortonde femtonde sextonde sjuttonde artonde nittonde
"""
ONES = UNITS.split()
ORDINALS = ORDINAL_UNITS.split()
WEEKDAYS = ["måndag", "tisdag", "onsdag", "torsdag", "fredag", "lördag", "söndag"]
TENS = ["tjugo", "trettio", "fyrtio", "femtio", "sextio", "sjuttio", "åttio", "nittio"]


def number(value: int) -> str:
    """A number below one thousand in letters."""
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10 - 2] + (ONES[value % 10] if value % 10 else "")
    hundreds = ONES[value // 100] if value >= 200 else ""
    return hundreds + "hundra" + (number(value % 100) if value % 100 else "")


def ordinal(value: int) -> str:
    """An ordinal below one hundred in letters."""
    if value < 20:
        return ORDINALS[value - 1]
    ten = TENS[value // 10 - 2]
    return ten + (ORDINALS[value % 10 - 1] if value % 10 else "nde")


def entries(text: str) -> list[list[str]]:
    """The entries of a table that are set apart by strokes, each as a list of words."""
    return [entry.split() for entry in text.replace("\n", " ").split("/")]


def add_nouns(grammar: dict[str, list[str]]) -> None:
    """Fill in nouns and compounds: "p.u.si", "p.pd", "p.g", "compound.n.sd"."""
    neuter = {"n", "0", "0x", "0m", "ner", "um"}

    def add(meaning: str, gender: str, forms: tuple[str, ...]) -> None:
        keys = [
            f"{meaning}.{gender}.si",
            f"{meaning}.{gender}.sd",
            f"{meaning}.pi",
            f"{meaning}.pd",
        ]
        for key, form in zip(keys, forms, strict=True):
            grammar.setdefault(key, []).append(form)
        for key in (f"{meaning}.{gender}.g", f"{meaning}.g"):
            grammar.setdefault(key, []).append(genitive(forms[1]))
        grammar[f"{meaning}.g"].append(genitive(forms[3]))

    for (meaning, kind), lemmas in NOUNS.items():
        for lemma in lemmas.split():
            add(meaning, "n" if kind in neuter else "u", decline(lemma, kind))
    for meaning, gender, *forms in entries(IRREGULAR_NOUNS):
        add(meaning, gender, tuple(forms))
    for kind, lemmas in COMPOUND_HEADS.items():
        for lemma in lemmas.split():
            forms = decline(lemma, kind)
            for first in COMPOUND_FIRST.split():
                whole = tuple((first + form).replace("sss", "ss") for form in forms)
                add("compound", "n" if kind in neuter else "u", whole)
    for gender, lemmas in MASS_NOUNS.items():
        for lemma in lemmas.split():
            stem = contracted(lemma)
            short = lemma[-1] in VOWELS or lemma == "humor" or (gender == "u" and stem != lemma)
            ending = "" if short else "e"
            stem = stem if gender == "n" else lemma
            grammar.setdefault("mass.i", []).append(lemma)
            grammar.setdefault(f"mass.{gender}", []).append(lemma)
            definite = stem + ending + ("n" if gender == "u" else "t")
            grammar.setdefault("mass.d", []).append(definite)
    for form in ("u.si", "u.sd", "n.si", "n.sd", "pi", "pd"):
        simple = grammar[f"a.{form}"]
        simple += [f"<compound.{form}>"] * (len(simple) // 6)


def add_verbs(grammar: dict[str, list[str]]) -> None:
    """Fill in verbs: "t.pres", "s.pret" (passive), "part.n" (participle), "imp.i"."""

    def add(key: str, form: str) -> None:
        grammar.setdefault(key, []).append(form)

    verbs = [tuple(entry) for entry in entries(IRREGULAR_VERBS)]
    for (use, kind), infinitives in VERBS.items():
        verbs += [(use, verb, *conjugate(verb, kind)) for verb in infinitives.split()]
    for use, infinitive, present, preterite, supine in verbs:
        forms = {"inf": infinitive, "pres": present, "pret": preterite, "sup": supine}
        for tense, form in forms.items():
            add(f"{use}.{tense}", form)
            if use == "t":
                add(f"s.{tense}", passive(form, infinitive))
        if infinitive.endswith("s"):
            continue
        add(f"imp.{use}", imperative(infinitive, present))
        add(f"inf.{use}", infinitive)
        if use == "t" and infinitive != "få":
            common, neuter, plural = participle(infinitive, preterite, supine)
            add("part.u", common)
            add("part.n", neuter)
            add("part.p", plural)
            add("part.d", plural)
        if use == "i":
            ending = "ande" if infinitive.endswith("a") else "ende"
            add("active", infinitive.removesuffix("a") + ending)
    for line in PHRASAL_VERBS.strip().splitlines():
        forms, tails = line.split(": ")
        for tense, form in zip(("inf", "pres", "pret", "sup"), forms.split(), strict=True):
            for tail in tails.split(", "):
                key = "reflexive" if "sig" in tail.split() else "phrasal"
                add(f"{key}.{tense}", f"{form} {tail}")
    for present, preterite, supine, infinitive, preposition in entries(PREPOSITIONAL_VERBS):
        forms = {"inf": infinitive, "pres": present, "pret": preterite, "sup": supine}
        for tense, form in forms.items():
            add(f"prep.{tense}", f"{form} {preposition}")
            add(f"prep-verb.{tense}", f"{form} <subj> {preposition} <topic>")


def add_words(grammar: dict[str, list[str]]) -> None:
    """Fill in adjectives, adverbs, names and numbers."""
    table = [(*inflect(word), word in ADJECTIVES["compared"].split()) for word in regular()]
    for common, neuter, plural, compared in table:
        forms = [common, neuter, plural, plural, "-", "-"]
        if compared:
            stem = contracted(common)
            forms[4:] = [stem + "are", stem + "ast"]
        add_adjective(grammar, forms)
    for forms in entries(IRREGULAR_ADJECTIVES):
        add_adjective(grammar, forms)
    grammar["manner"] = ADVERBS["manner"].split()
    grammar["adverb"] = ADVERBS["sentence"].split()
    grammar["front"] = ADVERBS["front"].split()
    grammar["degree"] = ADVERBS["degree"].split()
    grammar["name"] = NAMES.split()
    grammar["name.g"] = [genitive(name) for name in NAMES.split()]
    grammar["surname"] = SURNAMES.split()
    grammar["place.name"] = PLACES.split()
    grammar["place.g"] = [genitive(place) for place in PLACES.split()]
    grammar["weekday"] = WEEKDAYS
    grammar["weekday.d"] = [day + "en" for day in WEEKDAYS]
    grammar["digit"] = ONES[:10]
    grammar["tens"] = [number(value) for value in range(2, 100)]
    grammar["week"] = [number(value) for value in range(1, 53)]
    grammar["hundreds"] = [number(value) for value in range(100, 1000)]
    grammar["hundreds"] += ["ett" + number(value) for value in range(100, 200)]
    grammar["thousands"] = ["tusen"] + [number(value) + "tusen" for value in range(2, 40)]
    grammar["year"] = [
        number(century) + "hundra" + (number(year) if year else "")
        for century in range(15, 21)
        for year in range(100)
        if century < 20 or year < 40
    ]
    grammar["day"] = [ordinal(value) for value in range(1, 32)]
    grammar["ordinal"] = [ordinal(value) for value in range(1, 100)]


def regular() -> list[str]:
    """The regular adjectives."""
    return [word for words_ in ADJECTIVES.values() for word in words_.split()]


def add_adjective(grammar: dict[str, list[str]], forms: list[str]) -> None:
    """Fill in the forms of one adjective."""
    superlative = forms[-1]
    ending = "e" if superlative.endswith("ast") else "a"
    keys = ("adj.u", "adj.n", "adj.p", "adj.d", "compar", "super", "super.d")
    for key, form in zip(keys, [*forms, superlative + ending], strict=True):
        if not form.startswith("-"):
            grammar.setdefault(key, []).append(form)


def add_rules(grammar: dict[str, list[str]], rules: str) -> None:
    """Read rules; an indented line continues the line before it."""
    for rule in rules.strip().replace("\n    ", " ").splitlines():
        symbol, _, text = rule.partition(" = ")
        alternatives = []
        for alternative in text.split(" | "):
            weight, star, rest = alternative.partition("*")
            alternatives += [rest] * int(weight) if star else [alternative]
        grammar[symbol] = [alternative.strip() for alternative in alternatives]


def build() -> dict[str, list[str]]:
    """The whole grammar."""
    grammar: dict[str, list[str]] = {}
    add_nouns(grammar)
    add_verbs(grammar)
    add_words(grammar)
    for meaning in "ptal":
        add_rules(grammar, NOUN_RULES.replace("$", meaning))
    for tense in ("inf", "pres", "pret", "sup"):
        add_rules(grammar, VERB_RULES.replace("@", f".{tense}"))
    for tense in ("pres", "pret"):
        add_rules(grammar, CLAUSE_RULES.replace("@", f".{tense}"))
    add_rules(grammar, RULES)
    return grammar


GRAMMAR = build()


def expand(symbol: str, rng: random.Random) -> str:
    """Replace a symbol by one of its alternatives, all the way down."""
    return SLOT.sub(lambda slot: expand(slot[1], rng), rng.choice(GRAMMAR[symbol]))


def accepted(length: int, rng: random.Random) -> bool:
    """Whether a sentence of this many words is kept."""
    return 2 <= length <= 14 and rng.random() < SHORT_KEPT.get(length, 1)


def sentence(seed: int, index: int) -> tuple[str, str]:
    """One sentence and its kind, the same for the same seed and index."""
    rng = random.Random(f"{seed}-{index}")
    kind = "closed" if rng.random() < CLOSED_SHARE else "open"
    text = expand(kind, rng)
    while not accepted(len(text.split()), rng):
        text = expand(kind, rng)
    return re.sub(r"(^|[!?] )(\w)", lambda start: start[1] + start[2].upper(), text), kind


def words() -> set[str]:
    """All lower-case word forms that the grammar can produce."""
    found: set[str] = set()
    for alternatives in GRAMMAR.values():
        for alternative in alternatives:
            found.update(re.findall(r"\w+", SLOT.sub(" ", alternative).lower()))
    return found


if __name__ == "__main__":
    for position in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        print(*sentence(0, position), sep="\t")
