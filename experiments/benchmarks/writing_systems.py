r"""The default beside linear SVMs of words and of characters, in many writing systems.

    python -m experiments.benchmarks.writing_systems [--out FOLDER] [--seeds 3] \
        [--only NAME,NAME] [--documents 500] [--epochs 10]

Planted corpora: a document is about one to three of six subjects, each with words of
its own in the script, between words that say nothing. Chinese, Japanese and Thai have
no blanks, Korean has particles behind its nouns, the training documents of `NFD` are
composed and its test documents decomposed as macOS writes them, in `C` the subjects
differ in signs alone. Word SVM: TF-IDF of runs of `\w`, one and two; character SVM: of
one to four characters (scikit-learn's, with a C of 1, 4 or 16 chosen on validation
documents, decided at 0); `rival`: what `--baseline` sets beside the model.

Wanted: the default is at least level with the better of the two SVMs, that is not
below it by more than half a point in the mean over the seeds. A corpus takes about ten
seconds a seed on two CPU cores.
"""

# ruff: noqa: E501, SIM905 (lists of words)

import argparse
import statistics
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from experiments.benchmarks import measure
from experiments.study import markdown_table
from labelgraph_jax.config import Config, DataConfig, TrainingConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.readers.writers import write_jsonl
from labelgraph_jax.runs.fit import fit

SLACK = 0.005
HEADER = ("default", "word SVM", "character SVM", "rival")
PARTICLES = "은 는 이 가 을 를 에서 에게 까지 부터 으로 와 도 만".split()
# Subjects, then words that say nothing; the last entry joins words.
SCRIPTS: dict[str, tuple[str, str, str]] = {
    "Chinese": (
        "小麦 面粉 粮仓 | 石油 油井 汽油 | 银行 利率 贷款 | 足球 球员 比赛 | 医生 病人 "
        "药品 | 火车 车站 铁路",
        "今天 我们 他们 认为 这个 已经 因为 可以 很多 去年 报道 消息 问题 情况 继续 表示 "
        "地方 时候 大家 没有 然后 以后 发现 开始",
        "",
    ),
    "Japanese": (
        "小麦 パン 穀物 | 石油 ガソリン 油田 | 銀行 金利 ローン | サッカー 選手 試合 | "
        "医者 患者 くすり | 電車 えき 鉄道",
        "今日は 私たちの そして しかし とても それから 去年の について という ことが "
        "これは みんな もう一度 だから あそこで いつも はじめて たくさん",
        "",
    ),
    "Thai": (
        "ข้าวสาลี แป้ง ยุ้งฉาง | น้ำมัน บ่อ เบนซิน | ธนาคาร ดอกเบี้ย เงินกู้ | ฟุตบอล "
        "นักเตะ การแข่ง | หมอ คนไข้ ยาเม็ด | รถไฟ สถานี ราง",
        "วันนี้ เรา และ แต่ เพราะ มาก ปีก่อน ข่าว บอก ว่า ที่ เป็น ได้ แล้ว เขา อีก ยัง ก็",
        "",
    ),
    "Khmer": (
        "ស្រូវ ម្សៅ ឃ្លាំង | ប្រេង អណ្តូង សាំង | ធនាគារ ការប្រាក់ កម្ចី | បាល់ទាត់ កីឡាករ "
        "ការប្រកួត | គ្រូពេទ្យ អ្នកជំងឺ ថ្នាំ | រថភ្លើង ស្ថានីយ ផ្លូវដែក",
        "ថ្ងៃនេះ យើង និង ប៉ុន្តែ ព្រោះ ណាស់ ឆ្នាំមុន ដំណឹង ថា ដែល ជា បាន ហើយ គាត់ ទៀត នៅ",
        "",
    ),
    "Korean": (
        "밀 빵 곡식 | 기름 석유 유전 | 은행 금리 돈 | 축구 선수 경기 | 의사 환자 약 | "
        "기차 역 철도",
        "오늘 우리 사람 작년 소식 문제 상황 시간 곳 말 생각 이야기 모두 처음 다음 세상 집 "
        "길 날",
        " ",
    ),
    "Korean unspaced": (
        "밀가루 빵집 곡식 | 기름 석유 유전 | 은행 금리 대출 | 축구 선수 경기 | 의사 환자 "
        "약국 | 기차 철도 승객",
        "오늘 우리 사람 작년 소식 문제 상황 시간 생각 이야기 모두 처음 다음 세상",
        "",
    ),
    "Hindi": (
        "गेहूँ आटा रोटी | तेल कुआँ पेट्रोल | बैंक ब्याज ऋण | फुटबॉल खिलाड़ी मैच | डॉक्टर रोगी "
        "दवा | रेल स्टेशन पटरी",
        "आज हम और लेकिन क्योंकि बहुत साल ख़बर कहा कि यह है था में से पर भी नहीं तो वह",
        " ",
    ),
    "Tamil": (
        "கோதுமை மாவு ரொட்டி | எண்ணெய் கிணறு பெட்ரோல் | வங்கி வட்டி கடன் | கால்பந்து வீரர் "
        "போட்டி | மருத்துவர் நோயாளி மருந்து | ரயில் நிலையம் பாதை",
        "இன்று நாம் மற்றும் ஆனால் ஏனெனில் மிகவும் ஆண்டு செய்தி என்று இது அது அவர் உள்ள",
        " ",
    ),
    "Arabic": (
        "قمح طحين خبز | نفط بئر بنزين | بنك فائدة قرض | كرة لاعب مباراة | طبيب مريض دواء | "
        "قطار محطة سكة",
        "اليوم نحن ولكن لأن جدا سنة خبر قال إن هذا كان في من على أيضا ليس هو ثم بعد",
        " ",
    ),
    "Hebrew pointed": (
        "חִטָּה קֶמַח לֶחֶם | נֵפְט בְּאֵר דֶּלֶק | בַּנְק רִבִּית הַלְוָאָה | כַּדּוּר שַׂחְקָן מִשְׂחָק | רוֹפֵא "
        "חוֹלֶה תְּרוּפָה | רַכֶּבֶת תַּחֲנָה מְסִלָּה",
        "הַיּוֹם אֲנַחְנוּ אֲבָל כִּי מְאוֹד שָׁנָה חֲדָשׁוֹת אָמַר זֶה הָיָה עַל גַּם לֹא הוּא",
        " ",
    ),
    "Emoji": (
        "🌾 🍞 🥖 | 🛢️ ⛽ 🚗 | 🏦 💰 💳 | ⚽ 🏃🏽 🏆 | 👩‍⚕️ 💊 🏥 | 🚆 🚉 🇩🇪",
        "today we and but because very year news said that this was in from on also not",
        " ",
    ),
    "C": (
        "C C-compiler | C++ C++11 | C# .NET | F# ML | A* A*-search | R R+",
        "today we write code in and but because very good program said that this was",
        " ",
    ),
    "NFD": (
        "blé pâte épi | pétrole forêt puits | crédit prêt intérêt | équipe arrêt défaite | "
        "médecin fièvre remède | gare élévateur voie",
        "aujourd'hui nous été déjà très année où même après à côté là ça être était dès "
        "peut-être voilà",
        " ",
    ),
    "English": (
        "wheat flour bread | oil well petrol | bank interest loan | football player match "
        "| doctor patient pill | train station track",
        "today we and but because very year news said that this was in from on also not",
        " ",
    ),
}


def corpus(name: str, count: int, seed: int) -> list[list[Document]]:
    """Training, validation and test documents, `count` of each but half to validate."""
    own, filler, blank = SCRIPTS[name]
    subjects = [part.split() for part in own.split("|")]
    others, random = filler.split(), np.random.default_rng(seed)
    parts = []
    for part, size in (("train", count), ("validation", count // 2), ("test", count)):
        documents = []
        for number in range(size):
            carried = random.permutation(len(subjects))[: 1 + random.integers(3)]
            words = [str(random.choice(subjects[i])) for i in carried]
            words += list(random.choice(others, 6 + random.integers(12)))
            words = [words[i] for i in random.permutation(len(words))]
            if name.startswith("Korean"):
                words = [word + str(random.choice(PARTICLES)) for word in words]
            text = blank.join(words)
            if name == "NFD":
                text = unicodedata.normalize("NFD" if part == "test" else "NFC", text)
            labels = tuple(f"subject {i}" for i in sorted(carried))
            documents.append(Document(f"{part}-{number}", text, labels))
        parts.append(documents)
    return parts


def svm(parts: Sequence[Sequence[Document]], **features: Any) -> float:
    """Test micro-F1 of one linear SVM per label, of the C that validation likes best."""
    texts = [[d.text for d in documents] for documents in parts]
    names = sorted({label for document in parts[0] for label in document.labels})
    truth = [np.array([[n in d.labels for n in names] for d in p]) for p in parts]
    vectorizer = TfidfVectorizer(sublinear_tf=True, **features)
    train, *others = [vectorizer.fit_transform(texts[0])] + [
        vectorizer.transform(t) for t in texts[1:]
    ]
    scores = []
    for c in (1.0, 4.0, 16.0):
        model = OneVsRestClassifier(LinearSVC(C=c)).fit(train, truth[0])
        scores.append(
            [
                float(f1_score(t, model.predict(x), average="micro"))
                for x, t in zip(others, truth[1:], strict=True)
            ]
        )
    return max(scores, key=lambda pair: pair[0])[1]


def default(
    parts: Sequence[Sequence[Document]], folder: Path, seed: int, epochs: int
) -> tuple[float, float]:
    """Test micro-F1 of `labelgraph train --baseline`, and of its rival."""
    paths = []
    for name, documents in zip(("train", "validation", "test"), parts, strict=True):
        write_jsonl(documents, folder / f"{name}.jsonl")
        paths.append(str(folder / f"{name}.jsonl"))
    config = Config(
        data=DataConfig(data=paths[0], validation=paths[1], test=paths[2]),
        training=TrainingConfig(seed=seed, epochs=epochs),
    )
    results = fit(config, folder / "run", baseline=True, progress=False)
    rival = results["baseline"]["metrics"]["SVM, tuned"]["micro_f1"]
    return results["test"]["metrics"]["micro_f1"], rival


def main() -> None:
    """Train the default and the SVMs in each writing system, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(SCRIPTS))
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=TrainingConfig().epochs)
    given = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for name in filter(None, given.only.split(",")):
        found = []
        for seed in range(given.seeds):
            parts = corpus(name, given.documents, seed)
            with tempfile.TemporaryDirectory() as folder:
                ours, rival = default(parts, Path(folder), seed, given.epochs)
            words = svm(parts, token_pattern=r"\w+", ngram_range=(1, 2))
            characters = svm(parts, analyzer="char", ngram_range=(1, 4))
            found.append((ours, words, characters, rival))
        means = [statistics.mean(column) for column in zip(*found, strict=True)]
        rows[name] = dict(zip(HEADER, means, strict=True))
        cells = ", ".join(f"{column} {mean:.3f}" for column, mean in rows[name].items())
        print(f"{name}: {cells}", flush=True)
    table = markdown_table(
        ("corpus", *HEADER),
        [
            (name, *(f"{mean:.3f}" for mean in row.values()))
            for name, row in rows.items()
        ],
    )
    print(table)
    measure.save(given.out, "writing_systems", {"rows": rows, "slack": SLACK}, table)


if __name__ == "__main__":
    main()
