"""BibTeX of what was used: methods, calibrators, losses, metrics and systems."""

import difflib
from collections.abc import Iterator

# key: (type, author, title, where it appeared, year); "where" is written as BibTeX fields.
_ENTRIES: dict[str, tuple[str, str, str, str, int]] = {
    "jaxuq": (
        "software",
        "{The jaxuq authors}",
        "jaxuq: Uncertainty Quantification and Data-Efficient Learning for Foundation Models, in {JAX}",
        "",
        2026,
    ),
    "li2025dissertation": (
        "phdthesis",
        "Li, Yinghao",
        "Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models",
        "school = {Georgia Institute of Technology}",
        2025,
    ),
    "li2024muben": (
        "article",
        "Li, Yinghao and Kong, Lingkai and Du, Yuanqi and Yu, Yue and Zhuang, Yuchen and Mu, Wenhao and Zhang, Chao",
        "{MUBen}: Benchmarking the Uncertainty of Molecular Representation Models",
        "journal = {Transactions on Machine Learning Research}",
        2024,
    ),
    "lakshminarayanan2017ensembles": (
        "inproceedings",
        "Lakshminarayanan, Balaji and Pritzel, Alexander and Blundell, Charles",
        "Simple and Scalable Predictive Uncertainty Estimation Using Deep Ensembles",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2017,
    ),
    "gal2016dropout": (
        "inproceedings",
        "Gal, Yarin and Ghahramani, Zoubin",
        "Dropout as a {Bayesian} Approximation: Representing Model Uncertainty in Deep Learning",
        "booktitle = {International Conference on Machine Learning}",
        2016,
    ),
    "maddox2019swag": (
        "inproceedings",
        "Maddox, Wesley J. and Garipov, Timur and Izmailov, Pavel and Vetrov, Dmitry and Wilson, Andrew Gordon",
        "A Simple Baseline for {Bayesian} Uncertainty in Deep Learning",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2019,
    ),
    "blundell2015bbp": (
        "inproceedings",
        "Blundell, Charles and Cornebise, Julien and Kavukcuoglu, Koray and Wierstra, Daan",
        "Weight Uncertainty in Neural Networks",
        "booktitle = {International Conference on Machine Learning}",
        2015,
    ),
    "welling2011sgld": (
        "inproceedings",
        "Welling, Max and Teh, Yee Whye",
        "{Bayesian} Learning via Stochastic Gradient {Langevin} Dynamics",
        "booktitle = {International Conference on Machine Learning}",
        2011,
    ),
    "li2016psgld": (
        "inproceedings",
        "Li, Chunyuan and Chen, Changyou and Carlson, David and Carin, Lawrence",
        "Preconditioned Stochastic Gradient {Langevin} Dynamics for Deep Neural Networks",
        "booktitle = {AAAI Conference on Artificial Intelligence}",
        2016,
    ),
    "chen2014sghmc": (
        "inproceedings",
        "Chen, Tianqi and Fox, Emily B. and Guestrin, Carlos",
        "Stochastic Gradient {Hamiltonian} {Monte} {Carlo}",
        "booktitle = {International Conference on Machine Learning}",
        2014,
    ),
    "hoffman2014nuts": (
        "article",
        "Hoffman, Matthew D. and Gelman, Andrew",
        "The No-{U}-Turn Sampler: Adaptively Setting Path Lengths in {Hamiltonian} {Monte} {Carlo}",
        "journal = {Journal of Machine Learning Research}, volume = {15}",
        2014,
    ),
    "phan2019numpyro": (
        "article",
        "Phan, Du and Pradhan, Neeraj and Jankowiak, Martin",
        "Composable Effects for Flexible and Accelerated Probabilistic Programming in {NumPyro}",
        "journal = {arXiv preprint arXiv:1912.11554}",
        2019,
    ),
    "mackay1992laplace": (
        "article",
        "MacKay, David J. C.",
        "A Practical {Bayesian} Framework for Backpropagation Networks",
        "journal = {Neural Computation}, volume = {4}",
        1992,
    ),
    "daxberger2021laplace": (
        "inproceedings",
        "Daxberger, Erik and Kristiadi, Agustinus and Immer, Alexander and Eschenhagen, Runa and Bauer, Matthias and "
        "Hennig, Philipp",
        "{Laplace} Redux: Effortless {Bayesian} Deep Learning",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2021,
    ),
    "liu2020sngp": (
        "inproceedings",
        "Liu, Jeremiah Zhe and Lin, Zi and Padhy, Shreyas and Tran, Dustin and Bedrax-Weiss, Tania and "
        "Lakshminarayanan, Balaji",
        "Simple and Principled Uncertainty Estimation with Deterministic Deep Learning via Distance Awareness",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2020,
    ),
    "wen2020batchensemble": (
        "inproceedings",
        "Wen, Yeming and Tran, Dustin and Ba, Jimmy",
        "{BatchEnsemble}: An Alternative Approach to Efficient Ensemble and Lifelong Learning",
        "booktitle = {International Conference on Learning Representations}",
        2020,
    ),
    "harrison2024vbll": (
        "inproceedings",
        "Harrison, James and Willes, John and Snoek, Jasper",
        "Variational {Bayesian} Last Layers",
        "booktitle = {International Conference on Learning Representations}",
        2024,
    ),
    "zhang2020cyclical": (
        "inproceedings",
        "Zhang, Ruqi and Li, Chunyuan and Zhang, Jianyi and Chen, Changyou and Wilson, Andrew Gordon",
        "Cyclical Stochastic Gradient {MCMC} for {Bayesian} Deep Learning",
        "booktitle = {International Conference on Learning Representations}",
        2020,
    ),
    "immer2021linearization": (
        "inproceedings",
        "Immer, Alexander and Korzepa, Maciej and Bauer, Matthias",
        "Improving Predictions of {Bayesian} Neural Nets via Local Linearization",
        "booktitle = {International Conference on Artificial Intelligence and Statistics}",
        2021,
    ),
    "kull2017beta": (
        "inproceedings",
        "Kull, Meelis and Silva Filho, Telmo and Flach, Peter",
        "Beta Calibration: A Well-Founded and Easily Implemented Improvement on Logistic Calibration for "
        "Binary Classifiers",
        "booktitle = {International Conference on Artificial Intelligence and Statistics}",
        2017,
    ),
    "lahlou2023deup": (
        "article",
        "Lahlou, Salem and Jain, Moksh and Nekoei, Hadi and Butoi, Victor Ion and Bertin, Paul and "
        "Rector-Brooks, Jarrid and Korablyov, Maksym and Bengio, Yoshua",
        "{DEUP}: Direct Epistemic Uncertainty Prediction",
        "journal = {Transactions on Machine Learning Research}",
        2023,
    ),
    "schmaltz2026sdm": (
        "inproceedings",
        "Schmaltz, Allen",
        "Similarity-Distance-Magnitude Activations",
        "booktitle = {Findings of the Association for Computational Linguistics: ACL}",
        2026,
    ),
    "perezlebel2023grouping": (
        "inproceedings",
        'Perez-Lebel, Alexandre and Le Morvan, Marine and Varoquaux, Ga{\\"e}l',
        "Beyond Calibration: Estimating the Grouping Loss of Modern Neural Networks",
        "booktitle = {International Conference on Learning Representations}",
        2023,
    ),
    "johnson2024pairs": (
        "inproceedings",
        "Johnson, Daniel D. and Tarlow, Daniel and Duvenaud, David and Maddison, Chris J.",
        "Experts Don't Cheat: Learning What You Don't Know By Predicting Pairs",
        "booktitle = {International Conference on Machine Learning}",
        2024,
    ),
    "gneiting2011threshold": (
        "article",
        "Gneiting, Tilmann and Ranjan, Roopesh",
        "Comparing Density Forecasts Using Threshold- and Quantile-Weighted Scoring Rules",
        "journal = {Journal of Business and Economic Statistics}",
        2011,
    ),
    "rahaman2021pooling": (
        "inproceedings",
        "Rahaman, Rahul and Thiery, Alexandre H.",
        "Uncertainty Quantification and Deep Ensembles",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2021,
    ),
    "amini2020evidential": (
        "inproceedings",
        "Amini, Alexander and Schwarting, Wilko and Soleimany, Ava and Rus, Daniela",
        "Deep Evidential Regression",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2020,
    ),
    "sensoy2018evidential": (
        "inproceedings",
        "Sensoy, Murat and Kaplan, Lance and Kandemir, Melih",
        "Evidential Deep Learning to Quantify Classification Uncertainty",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2018,
    ),
    "lin2017focal": (
        "inproceedings",
        "Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Doll{\\'a}r, Piotr",
        "Focal Loss for Dense Object Detection",
        "booktitle = {IEEE International Conference on Computer Vision}",
        2017,
    ),
    "mukhoti2020focal": (
        "inproceedings",
        "Mukhoti, Jishnu and Kulharia, Viveka and Sanyal, Amartya and Golodetz, Stuart and Torr, Philip and "
        "Dokania, Puneet",
        "Calibrating Deep Neural Networks Using Focal Loss",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2020,
    ),
    "nix1994gaussian": (
        "inproceedings",
        "Nix, David A. and Weigend, Andreas S.",
        "Estimating the Mean and Variance of the Target Probability Distribution",
        "booktitle = {IEEE International Conference on Neural Networks}",
        1994,
    ),
    "seitzer2022beta": (
        "inproceedings",
        "Seitzer, Maximilian and Tavakoli, Arash and Antic, Dimitrije and Martius, Georg",
        "On the Pitfalls of Heteroscedastic Uncertainty Estimation with Probabilistic Neural Networks",
        "booktitle = {International Conference on Learning Representations}",
        2022,
    ),
    "guo2017temperature": (
        "inproceedings",
        "Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.",
        "On Calibration of Modern Neural Networks",
        "booktitle = {International Conference on Machine Learning}",
        2017,
    ),
    "platt1999": (
        "incollection",
        "Platt, John C.",
        "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized Likelihood Methods",
        "booktitle = {Advances in Large Margin Classifiers}, publisher = {MIT Press}",
        1999,
    ),
    "zadrozny2002isotonic": (
        "inproceedings",
        "Zadrozny, Bianca and Elkan, Charles",
        "Transforming Classifier Scores into Accurate Multiclass Probability Estimates",
        "booktitle = {ACM SIGKDD International Conference on Knowledge Discovery and Data Mining}",
        2002,
    ),
    "kuleshov2018regression": (
        "inproceedings",
        "Kuleshov, Volodymyr and Fenner, Nathan and Ermon, Stefano",
        "Accurate Uncertainties for Deep Learning Using Calibrated Regression",
        "booktitle = {International Conference on Machine Learning}",
        2018,
    ),
    "laves2020variance": (
        "inproceedings",
        'Laves, Max-Heinrich and Ihler, Sontje and Fast, Jacob F. and Kahrs, L{\\"u}der A. and Ortmaier, Tobias',
        "Well-Calibrated Regression Uncertainty in Medical Imaging with Deep Learning",
        "booktitle = {Medical Imaging with Deep Learning}",
        2020,
    ),
    "vovk2005conformal": (
        "book",
        "Vovk, Vladimir and Gammerman, Alexander and Shafer, Glenn",
        "Algorithmic Learning in a Random World",
        "publisher = {Springer}",
        2005,
    ),
    "lei2018conformal": (
        "article",
        "Lei, Jing and G'Sell, Max and Rinaldo, Alessandro and Tibshirani, Ryan J. and Wasserman, Larry",
        "Distribution-Free Predictive Inference for Regression",
        "journal = {Journal of the American Statistical Association}, volume = {113}",
        2018,
    ),
    "romano2019cqr": (
        "inproceedings",
        "Romano, Yaniv and Patterson, Evan and Cand{\\`e}s, Emmanuel J.",
        "Conformalized Quantile Regression",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2019,
    ),
    "sadinle2019lac": (
        "article",
        "Sadinle, Mauricio and Lei, Jing and Wasserman, Larry",
        "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels",
        "journal = {Journal of the American Statistical Association}, volume = {114}",
        2019,
    ),
    "romano2020aps": (
        "inproceedings",
        "Romano, Yaniv and Sesia, Matteo and Cand{\\`e}s, Emmanuel J.",
        "Classification with Valid and Adaptive Coverage",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2020,
    ),
    "angelopoulos2021raps": (
        "inproceedings",
        "Angelopoulos, Anastasios N. and Bates, Stephen and Malik, Jitendra and Jordan, Michael I.",
        "Uncertainty Sets for Image Classifiers Using Conformal Prediction",
        "booktitle = {International Conference on Learning Representations}",
        2021,
    ),
    "gneiting2007scores": (
        "article",
        "Gneiting, Tilmann and Raftery, Adrian E.",
        "Strictly Proper Scoring Rules, Prediction, and Estimation",
        "journal = {Journal of the American Statistical Association}, volume = {102}",
        2007,
    ),
    "gneiting2005crps": (
        "article",
        "Gneiting, Tilmann and Raftery, Adrian E. and Westveld, Anton H. and Goldman, Tom",
        "Calibrated Probabilistic Forecasting Using Ensemble Model Output Statistics and Minimum {CRPS} Estimation",
        "journal = {Monthly Weather Review}, volume = {133}",
        2005,
    ),
    "good1952nll": (
        "article",
        "Good, I. J.",
        "Rational Decisions",
        "journal = {Journal of the Royal Statistical Society, Series B}, volume = {14}",
        1952,
    ),
    "brier1950": (
        "article",
        "Brier, Glenn W.",
        "Verification of Forecasts Expressed in Terms of Probability",
        "journal = {Monthly Weather Review}, volume = {78}",
        1950,
    ),
    "naeini2015ece": (
        "inproceedings",
        "Naeini, Mahdi Pakdaman and Cooper, Gregory F. and Hauskrecht, Milos",
        "Obtaining Well Calibrated Probabilities Using {Bayesian} Binning",
        "booktitle = {AAAI Conference on Artificial Intelligence}",
        2015,
    ),
    "nixon2019ace": (
        "inproceedings",
        "Nixon, Jeremy and Dusenberry, Michael W. and Zhang, Linchuan and Jerfel, Ghassen and Tran, Dustin",
        "Measuring Calibration in Deep Learning",
        "booktitle = {CVPR Workshops}",
        2019,
    ),
    "blasiok2024smooth": (
        "inproceedings",
        "B{\\l}asiok, Jaros{\\l}aw and Nakkiran, Preetum",
        "Smooth {ECE}: Principled Reliability Diagrams via Kernel Smoothing",
        "booktitle = {International Conference on Learning Representations}",
        2024,
    ),
    "levi2022ence": (
        "article",
        "Levi, Dan and Gispan, Liran and Giladi, Niv and Fetaya, Ethan",
        "Evaluating and Calibrating Uncertainty Prediction in Regression Tasks",
        "journal = {Sensors}, volume = {22}",
        2022,
    ),
    "tran2020miscalibration": (
        "article",
        "Tran, Kevin and Neiswanger, Willie and Yoon, Junwoong and Zhang, Qingyang and Xing, Eric and "
        "Ulissi, Zachary W.",
        "Methods for Comparing Uncertainty Quantifications for Material Property Predictions",
        "journal = {Machine Learning: Science and Technology}, volume = {1}",
        2020,
    ),
    "koenker1978pinball": (
        "article",
        "Koenker, Roger and Bassett, Gilbert",
        "Regression Quantiles",
        "journal = {Econometrica}, volume = {46}",
        1978,
    ),
    "geifman2017selective": (
        "inproceedings",
        "Geifman, Yonatan and El-Yaniv, Ran",
        "Selective Classification for Deep Neural Networks",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2017,
    ),
    "traub2024augrc": (
        "inproceedings",
        'Traub, Jeremias and Bungert, Till J. and L{\\"u}th, Carsten T. and Baumgartner, Michael and '
        'Maier-Hein, Klaus H. and Maier-Hein, Lena and J{\\"a}ger, Paul F.',
        "Overcoming Common Flaws in the Evaluation of Selective Classification Systems",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2024,
    ),
    "malinin2020prr": (
        "inproceedings",
        "Malinin, Andrey and Mlodozeniec, Bruno and Gales, Mark",
        "Ensemble Distribution Distillation",
        "booktitle = {International Conference on Learning Representations}",
        2020,
    ),
    "efron1993bootstrap": (
        "book",
        "Efron, Bradley and Tibshirani, Robert J.",
        "An Introduction to the Bootstrap",
        "publisher = {Chapman and Hall}",
        1993,
    ),
    "davison1997bootstrap": (
        "book",
        "Davison, Anthony C. and Hinkley, David V.",
        "Bootstrap Methods and Their Application",
        "publisher = {Cambridge University Press}",
        1997,
    ),
    "li2025uqac": (
        "article",
        "Li, Yinghao and Qiang, Rushi and Moukheiber, Lama and Zhang, Chao",
        "Language Model Uncertainty Quantification with Attention Chain",
        "journal = {arXiv preprint arXiv:2503.19168}",
        2025,
    ),
    "kuhn2023semantic": (
        "inproceedings",
        "Kuhn, Lorenz and Gal, Yarin and Farquhar, Sebastian",
        "Semantic Uncertainty: Linguistic Invariances for Uncertainty Estimation in Natural Language Generation",
        "booktitle = {International Conference on Learning Representations}",
        2023,
    ),
    "farquhar2024semantic": (
        "article",
        "Farquhar, Sebastian and Kossen, Jannik and Kuhn, Lorenz and Gal, Yarin",
        "Detecting Hallucinations in Large Language Models Using Semantic Entropy",
        "journal = {Nature}, volume = {630}",
        2024,
    ),
    "wang2023selfconsistency": (
        "inproceedings",
        "Wang, Xuezhi and Wei, Jason and Schuurmans, Dale and Le, Quoc and Chi, Ed and Narang, Sharan and "
        "Chowdhery, Aakanksha and Zhou, Denny",
        "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
        "booktitle = {International Conference on Learning Representations}",
        2023,
    ),
    "kadavath2022know": (
        "article",
        "Kadavath, Saurav and others",
        "Language Models (Mostly) Know What They Know",
        "journal = {arXiv preprint arXiv:2207.05221}",
        2022,
    ),
    "lin2024confidence": (
        "article",
        "Lin, Zhen and Trivedi, Shubhendu and Sun, Jimeng",
        "Generating with Confidence: Uncertainty Quantification for Black-Box Large Language Models",
        "journal = {Transactions on Machine Learning Research}",
        2024,
    ),
    "duan2024sar": (
        "inproceedings",
        "Duan, Jinhao and Cheng, Hao and Wang, Shiqi and Zavalny, Alex and Wang, Chenan and Xu, Renjing and "
        "Kailkhura, Bhavya and Xu, Kaidi",
        "Shifting Attention to Relevance: Towards the Predictive Uncertainty Quantification of Free-Form Large "
        "Language Models",
        "booktitle = {Annual Meeting of the Association for Computational Linguistics}",
        2024,
    ),
    "tian2023ask": (
        "inproceedings",
        "Tian, Katherine and Mitchell, Eric and Zhou, Allan and Sharma, Archit and Rafailov, Rafael and Yao, Huaxiu "
        "and Finn, Chelsea and Manning, Christopher D.",
        "Just Ask for Calibration: Strategies for Eliciting Calibrated Confidence Scores from Language Models "
        "Fine-Tuned with Human Feedback",
        "booktitle = {Conference on Empirical Methods in Natural Language Processing}",
        2023,
    ),
    "wu2018moleculenet": (
        "article",
        "Wu, Zhenqin and Ramsundar, Bharath and Feinberg, Evan N. and Gomes, Joseph and Geniesse, Caleb and "
        "Pappu, Aneesh S. and Leswing, Karl and Pande, Vijay",
        "{MoleculeNet}: A Benchmark for Molecular Machine Learning",
        "journal = {Chemical Science}, volume = {9}",
        2018,
    ),
    "zhang2021wrench": (
        "inproceedings",
        "Zhang, Jieyu and Yu, Yue and Li, Yinghao and Wang, Yujing and Yang, Yaming and Yang, Mao and "
        "Ratner, Alexander",
        "{WRENCH}: A Comprehensive Benchmark for Weak Supervision",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2021,
    ),
    "ratner2018snorkel": (
        "article",
        "Ratner, Alexander and Bach, Stephen H. and Ehrenberg, Henry and Fries, Jason and Wu, Sen and R{\\'e}, "
        "Christopher",
        "Snorkel: Rapid Training Data Creation with Weak Supervision",
        "journal = {Proceedings of the VLDB Endowment}",
        2018,
    ),
    "dawid1979observer": (
        "article",
        "Dawid, A. P. and Skene, A. M.",
        "Maximum Likelihood Estimation of Observer Error-Rates Using the {EM} Algorithm",
        "journal = {Journal of the Royal Statistical Society C}",
        1979,
    ),
    "lison2020weak": (
        "inproceedings",
        "Lison, Pierre and Barnes, Jeremy and Hubin, Aliaksandr and Touileb, Samia",
        "Named Entity Recognition without Labelled Data: A Weak Supervision Approach",
        "booktitle = {Annual Meeting of the Association for Computational Linguistics}",
        2020,
    ),
    "li2021chmm": (
        "inproceedings",
        "Li, Yinghao and Shetty, Pranav and Liu, Lucas and Zhang, Chao and Song, Le",
        "{BERT}ifying the Hidden {Markov} Model for Multi-Source Weakly Supervised Named Entity Recognition",
        "booktitle = {Annual Meeting of the Association for Computational Linguistics}",
        2021,
    ),
    "li2022sparsechmm": (
        "inproceedings",
        "Li, Yinghao and Song, Le and Zhang, Chao",
        "Sparse Conditional Hidden {Markov} Model for Weakly Supervised Named Entity Recognition",
        "booktitle = {ACM SIGKDD Conference on Knowledge Discovery and Data Mining}",
        2022,
    ),
    "lan2020connet": (
        "inproceedings",
        "Lan, Ouyu and Huang, Xiao and Lin, Bill Yuchen and Jiang, He and Liu, Liyuan and Ren, Xiang",
        "Learning to Contextually Aggregate Multi-Source Supervision for Sequence Labeling",
        "booktitle = {Annual Meeting of the Association for Computational Linguistics}",
        2020,
    ),
    "li2025elrea": (
        "inproceedings",
        "Li, Yinghao and Gao, Vianne and Zhang, Chao and Torkamani, MohamadAli",
        "Ensembles of Low-Rank Expert Adapters",
        "booktitle = {International Conference on Learning Representations}",
        2025,
    ),
    "wu2024mole": (
        "inproceedings",
        "Wu, Xun and Huang, Shaohan and Wei, Furu",
        "Mixture of {LoRA} Experts",
        "booktitle = {International Conference on Learning Representations}",
        2024,
    ),
    "wang2023loraensembles": (
        "article",
        "Wang, Xi and Aitchison, Laurence and Rudolph, Maja",
        "{LoRA} Ensembles for Large Language Model Fine-Tuning",
        "journal = {arXiv preprint arXiv:2310.00035}",
        2023,
    ),
    "xia2024less": (
        "inproceedings",
        "Xia, Mengzhou and Malladi, Sadhika and Gururangan, Suchin and Arora, Sanjeev and Chen, Danqi",
        "{LESS}: Selecting Influential Data for Targeted Instruction Tuning",
        "booktitle = {International Conference on Machine Learning}",
        2024,
    ),
    "park2023trak": (
        "inproceedings",
        "Park, Sung Min and Georgiev, Kristian and Ilyas, Andrew and Leclerc, Guillaume and Madry, Aleksander",
        "{TRAK}: Attributing Model Behavior at Scale",
        "booktitle = {International Conference on Machine Learning}",
        2023,
    ),
    "zhang1996birch": (
        "inproceedings",
        "Zhang, Tian and Ramakrishnan, Raghu and Livny, Miron",
        "{BIRCH}: An Efficient Data Clustering Method for Very Large Databases",
        "booktitle = {ACM SIGMOD International Conference on Management of Data}",
        1996,
    ),
    "achlioptas2003projections": (
        "article",
        "Achlioptas, Dimitris",
        "Database-Friendly Random Projections: {Johnson-Lindenstrauss} with Binary Coins",
        "journal = {Journal of Computer and System Sciences}",
        2003,
    ),
    "wang2024ual": (
        "inproceedings",
        "Wang, Yikun and Zheng, Rui and Ding, Liang and Zhang, Qi and Lin, Dahua and Tao, Dacheng",
        "Uncertainty Aware Learning for Language Model Alignment",
        "booktitle = {Annual Meeting of the Association for Computational Linguistics}",
        2024,
    ),
    "yang2024laplacelora": (
        "inproceedings",
        "Yang, Adam X. and Robeyns, Maxime and Wang, Xi and Aitchison, Laurence",
        "{Bayesian} Low-Rank Adaptation for Large Language Models",
        "booktitle = {International Conference on Learning Representations}",
        2024,
    ),
    "wang2024blob": (
        "inproceedings",
        "Wang, Yibin and Shi, Haizhou and Han, Ligong and Metaxas, Dimitris and Wang, Hao",
        "{BLoB}: {Bayesian} Low-Rank Adaptation by Backpropagation for Large Language Models",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2024,
    ),
    "shi2025tfb": (
        "inproceedings",
        "Shi, Haizhou and Wang, Yibin and Han, Ligong and Zhang, Huan and Wang, Hao",
        "Training-Free {Bayesianization} for Low-Rank Adapters of Large Language Models",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2025,
    ),
    "onal2024swaglora": (
        "inproceedings",
        r"Onal, Emre and Fl{\"o}ge, Klemens and Caldwell, Emma and Sheverdin, Arsen and Fortuin, Vincent",
        "Gaussian Stochastic Weight Averaging for {Bayesian} Low-Rank Adaptation of Large Language Models",
        "booktitle = {Symposium on Advances in Approximate {Bayesian} Inference}",
        2024,
    ),
    "muhlematter2024loraensemble": (
        "article",
        "Muhlematter, Dominik J. and Halbheer, Michelle and Becker, Alexander and Narnhofer, Dominik and Aasen, Helge "
        "and Schindler, Konrad and Turkoglu, Mehmet Ozgur",
        "{LoRA}-Ensemble: Efficient Uncertainty Modelling for Self-Attention Networks",
        "journal = {arXiv preprint arXiv:2405.14438}",
        2024,
    ),
    "doyle2025bayeslora": (
        "article",
        "Doyle, Cooper",
        "{BayesLoRA}: Task-Specific Uncertainty in Low-Rank Adapters",
        "journal = {arXiv preprint arXiv:2506.22809}",
        2025,
    ),
    "kirsch2019batchbald": (
        "inproceedings",
        "Kirsch, Andreas and van Amersfoort, Joost and Gal, Yarin",
        "{BatchBALD}: Efficient and Diverse Batch Acquisition for Deep {Bayesian} Active Learning",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2019,
    ),
    "zhang2024rtuning": (
        "inproceedings",
        "Zhang, Hanning and others",
        "{R-Tuning}: Instructing Large Language Models to Say `{I} Don't Know'",
        "booktitle = {Annual Conference of the North American Chapter of the ACL}",
        2024,
    ),
    "kapoor2024taught": (
        "inproceedings",
        "Kapoor, Sanyam and Gruver, Nate and Roberts, Manley and Collins, Katherine and Pal, Arka and Bhatt, Umang and "
        "Weller, Adrian and Dooley, Samuel and Goldblum, Micah and Wilson, Andrew Gordon",
        "Large Language Models Must Be Taught to Know What They Don't Know",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2024,
    ),
    "li2025conftuner": (
        "inproceedings",
        "Li, Yibo and Xiong, Miao and Wu, Jiaying and Hooi, Bryan",
        "{ConfTuner}: Training Large Language Models to Express Their Confidence Verbally",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2025,
    ),
    "wang2025qtuning": (
        "article",
        "Wang, Shaobo and others",
        "Winning the Pruning Gamble: A Unified Approach to Joint Sample and Token Pruning for Efficient Supervised "
        "Fine-Tuning",
        "journal = {arXiv preprint arXiv:2509.23873}",
        2025,
    ),
    "xu2019gin": (
        "inproceedings",
        "Xu, Keyulu and Hu, Weihua and Leskovec, Jure and Jegelka, Stefanie",
        "How Powerful are Graph Neural Networks?",
        "booktitle = {International Conference on Learning Representations}",
        2019,
    ),
    "yang2019chemprop": (
        "article",
        "Yang, Kevin and Swanson, Kyle and Jin, Wengong and Coley, Connor and Eiden, Philipp and Gao, Hua and "
        "Guzman-Perez, Angel and Hopper, Timothy and Kelley, Brian and Mathea, Miriam and Palmer, Andrew and "
        "Settels, Volker and Jaakkola, Tommi and Jensen, Klavs and Barzilay, Regina",
        "Analyzing Learned Molecular Representations for Property Prediction",
        "journal = {Journal of Chemical Information and Modeling}",
        2019,
    ),
    "ahmad2022chemberta2": (
        "article",
        "Ahmad, Walid and Simon, Elana and Chithrananda, Seyone and Grand, Gabriel and Ramsundar, Bharath",
        "{ChemBERTa-2}: Towards Chemical Foundation Models",
        "journal = {arXiv preprint arXiv:2209.01712}",
        2022,
    ),
    "schwaller2021rxnfp": (
        "article",
        "Schwaller, Philippe and Probst, Daniel and Vaucher, Alain C. and Nair, Vishnu H. and Kreutter, David and "
        "Laino, Teodoro and Reymond, Jean-Louis",
        "Mapping the Space of Chemical Reactions Using Attention-Based Neural Networks",
        "journal = {Nature Machine Intelligence}",
        2021,
    ),
    "rogers2010ecfp": (
        "article",
        "Rogers, David and Hahn, Mathew",
        "Extended-Connectivity Fingerprints",
        "journal = {Journal of Chemical Information and Modeling}",
        2010,
    ),
    "zhou2023unimol": (
        "inproceedings",
        "Zhou, Gengmo and Gao, Zhifeng and Ding, Qiankun and Zheng, Hang and Xu, Hongteng and Wei, Zhewei and "
        "Zhang, Linfeng and Ke, Guolin",
        "{Uni-Mol}: A Universal {3D} Molecular Representation Learning Framework",
        "booktitle = {International Conference on Learning Representations}",
        2023,
    ),
    "tholke2022torchmdnet": (
        "inproceedings",
        'Th{\\"o}lke, Philipp and De Fabritiis, Gianni',
        "{TorchMD-NET}: Equivariant Transformers for Neural Network Based Molecular Potentials",
        "booktitle = {International Conference on Learning Representations}",
        2022,
    ),
    "zaidi2023denoising": (
        "inproceedings",
        "Zaidi, Sheheryar and Schaarschmidt, Michael and Martens, James and Kim, Hyunjik and Teh, Yee Whye and "
        "Sanchez-Gonzalez, Alvaro and Battaglia, Peter and Pascanu, Razvan and Godwin, Jonathan",
        "Pre-training via Denoising for Molecular Property Prediction",
        "booktitle = {International Conference on Learning Representations}",
        2023,
    ),
    "rong2020grover": (
        "inproceedings",
        "Rong, Yu and Bian, Yatao and Xu, Tingyang and Xie, Weiyang and Wei, Ying and Huang, Wenbing and "
        "Huang, Junzhou",
        "Self-Supervised Graph Transformer on Large-Scale Molecular Data",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2020,
    ),
    "vazhentsev2025rauq": (
        "article",
        "Vazhentsev, Artem and others",
        "Uncertainty-Aware Attention Heads: Efficient Unsupervised Uncertainty Quantification for {LLMs}",
        "journal = {arXiv preprint arXiv:2505.20045}",
        2025,
    ),
    "sriramanan2024llmcheck": (
        "inproceedings",
        "Sriramanan, Gaurang and others",
        "{LLM-Check}: Investigating Detection of Hallucinations in Large Language Models",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2024,
    ),
    "lin2024csl": (
        "inproceedings",
        "Lin, Zhen and Trivedi, Shubhendu and Sun, Jimeng",
        "Contextualized Sequence Likelihood: Enhanced Confidence Scores for Natural Language Generation",
        "booktitle = {Conference on Empirical Methods in Natural Language Processing}",
        2024,
    ),
    "zhang2023focus": (
        "inproceedings",
        "Zhang, Tianhang and others",
        "Enhancing Uncertainty-Based Hallucination Detection with Stronger Focus",
        "booktitle = {Conference on Empirical Methods in Natural Language Processing}",
        2023,
    ),
    "fadeeva2024ccp": (
        "inproceedings",
        "Fadeeva, Ekaterina and others",
        "Fact-Checking the Output of Large Language Models via Token-Level Uncertainty Quantification",
        "booktitle = {Findings of the Association for Computational Linguistics: ACL}",
        2024,
    ),
    "qiu2024density": (
        "inproceedings",
        "Qiu, Xin and Miikkulainen, Risto",
        "Semantic Density: Uncertainty Quantification for Large Language Models through Confidence "
        "Measurement in Semantic Space",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2024,
    ),
    "chen2024inside": (
        "inproceedings",
        "Chen, Chao and others",
        "{INSIDE}: {LLMs}' Internal States Retain the Power of Hallucination Detection",
        "booktitle = {International Conference on Learning Representations}",
        2024,
    ),
    "li2026volume": (
        "inproceedings",
        "Li, Xiaomin and others",
        "Semantic Volume: Quantifying and Detecting both External and Internal Uncertainty in {LLMs}",
        "booktitle = {AAAI Conference on Artificial Intelligence}",
        2026,
    ),
    "vashurin2025cocoa": (
        "inproceedings",
        "Vashurin, Roman and others",
        "Uncertainty Quantification for {LLMs} through Minimum {Bayes} Risk: Bridging Confidence and Consistency",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2025,
    ),
    "song2025inverse": (
        "inproceedings",
        "Song, Haoyi and others",
        "{Inv-Entropy}: A Fully Probabilistic Framework for Uncertainty Quantification in Language Models",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2025,
    ),
    "nikitin2024kernel": (
        "inproceedings",
        "Nikitin, Alexander and Kossen, Jannik and Gal, Yarin and Marttinen, Pekka",
        "Kernel Language Entropy: Fine-grained Uncertainty Quantification for {LLMs} from Semantic Similarities",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2024,
    ),
    "fomicheva2020quality": (
        "article",
        "Fomicheva, Marina and others",
        "Unsupervised Quality Estimation for Neural Machine Translation",
        "journal = {Transactions of the Association for Computational Linguistics}",
        2020,
    ),
    "darrin2023rainproof": (
        "inproceedings",
        "Darrin, Maxime and Piantanida, Pablo and Colombo, Pierre",
        "{RainProof}: An Umbrella to Shield Text Generators from Out-of-Distribution Data",
        "booktitle = {Conference on Empirical Methods in Natural Language Processing}",
        2023,
    ),
    "kang2025certainty": (
        "article",
        "Kang, Zhewei and Zhao, Xuandong and Song, Dawn",
        "Scalable Best-of-{N} Selection for Large Language Models via Self-Certainty",
        "journal = {arXiv preprint arXiv:2502.18581}",
        2025,
    ),
    "dinh2025boosted": (
        "inproceedings",
        "Dinh, Tu Anh and Niehues, Jan",
        "Are Generative Models Underconfident? Better Quality Estimation with Boosted Model Probability",
        "booktitle = {Conference on Empirical Methods in Natural Language Processing}",
        2025,
    ),
    "malinin2021structured": (
        "inproceedings",
        "Malinin, Andrey and Gales, Mark",
        "Uncertainty Estimation in Autoregressive Structured Prediction",
        "booktitle = {International Conference on Learning Representations}",
        2021,
    ),
    "aichberger2024rethinking": (
        "article",
        "Aichberger, Lukas and Schweighofer, Kajetan and Hochreiter, Sepp",
        "Rethinking Uncertainty Estimation in Natural Language Generation",
        "journal = {arXiv preprint arXiv:2412.15176}",
        2024,
    ),
    "vanderpoel2022mutual": (
        "inproceedings",
        "van der Poel, Liam and Cotterell, Ryan and Meister, Clara",
        "Mutual Information Alleviates Hallucinations in Abstractive Summarization",
        "booktitle = {Conference on Empirical Methods in Natural Language Processing}",
        2022,
    ),
    "gupta2024cascades": (
        "inproceedings",
        "Gupta, Neha and others",
        "Language Model Cascades: Token-level Uncertainty and Beyond",
        "booktitle = {International Conference on Learning Representations}",
        2024,
    ),
    "shrivastava2025relative": (
        "article",
        "Shrivastava, Vaishnavi and others",
        "Language Models Prefer What They Know: Relative Confidence Estimation via Confidence Preferences",
        "journal = {arXiv preprint arXiv:2502.01126}",
        2025,
    ),
    "bouchard2025uqlm": (
        "article",
        "Bouchard, Dylan and Chauhan, Mohit Singh",
        "Uncertainty Quantification for Language Models: A Suite of Black-Box, White-Box, {LLM} Judge, and Ensemble "
        "Scorers",
        "journal = {arXiv preprint arXiv:2504.19254}",
        2025,
    ),
    "lee2018mahalanobis": (
        "inproceedings",
        "Lee, Kimin and others",
        "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
        "booktitle = {Advances in Neural Information Processing Systems}",
        2018,
    ),
    "cobbe2021gsm8k": (
        "article",
        "Cobbe, Karl and Kosaraju, Vineet and Bavarian, Mohammad and Chen, Mark and Jun, Heewoo and Kaiser, Lukasz and "
        "Plappert, Matthias and Tworek, Jerry and Hilton, Jacob and Nakano, Reiichiro and Hesse, Christopher and "
        "Schulman, John",
        "Training Verifiers to Solve Math Word Problems",
        "journal = {arXiv preprint arXiv:2110.14168}",
        2021,
    ),
    "hendrycks2021math": (
        "inproceedings",
        "Hendrycks, Dan and Burns, Collin and Kadavath, Saurav and Arora, Akul and Basart, Steven and Tang, Eric and "
        "Song, Dawn and Steinhardt, Jacob",
        "Measuring Mathematical Problem Solving With the {MATH} Dataset",
        "booktitle = {Advances in Neural Information Processing Systems, Datasets and Benchmarks}",
        2021,
    ),
    "patel2021svamp": (
        "inproceedings",
        "Patel, Arkil and Bhattamishra, Satwik and Goyal, Navin",
        "Are {NLP} Models Really Able to Solve Simple Math Word Problems?",
        "booktitle = {Conference of the North American Chapter of the Association for Computational Linguistics}",
        2021,
    ),
    "amini2019mathqa": (
        "inproceedings",
        "Amini, Aida and Gabriel, Saadia and Lin, Shanchuan and Koncel-Kedziorski, Rik and Choi, Yejin and "
        "Hajishirzi, Hannaneh",
        "{MathQA}: Towards Interpretable Math Word Problem Solving with Operation-Based Formalisms",
        "booktitle = {Conference of the North American Chapter of the Association for Computational Linguistics}",
        2019,
    ),
    "suzgun2023bbh": (
        "inproceedings",
        'Suzgun, Mirac and Scales, Nathan and Sch{\\"a}rli, Nathanael and Gehrmann, Sebastian and Tay, Yi and '
        "Chung, Hyung Won and Chowdhery, Aakanksha and Le, Quoc and Chi, Ed and Zhou, Denny and Wei, Jason",
        "Challenging {BIG-Bench} Tasks and Whether Chain-of-Thought Can Solve Them",
        "booktitle = {Findings of the Association for Computational Linguistics: ACL}",
        2023,
    ),
    "hendrycks2021mmlu": (
        "inproceedings",
        "Hendrycks, Dan and Burns, Collin and Basart, Steven and Zou, Andy and Mazeika, Mantas and Song, Dawn and "
        "Steinhardt, Jacob",
        "Measuring Massive Multitask Language Understanding",
        "booktitle = {International Conference on Learning Representations}",
        2021,
    ),
}

_SOURCES: dict[str, tuple[str, ...]] = {
    "jaxuq": ("jaxuq",),
    "dissertation": ("li2025dissertation",),
    # systems and data
    "muben": ("li2024muben",),
    "moleculenet": ("wu2018moleculenet",),
    "gin": ("xu2019gin",),
    "dmpnn": ("yang2019chemprop",),
    "chemberta": ("ahmad2022chemberta2",),
    "rxnfp": ("schwaller2021rxnfp",),
    "morgan": ("rogers2010ecfp",),
    "unimol": ("zhou2023unimol",),
    "torchmdnet": ("tholke2022torchmdnet", "zaidi2023denoising"),
    "grover": ("rong2020grover",),
    "tag": ("li2022sparsechmm",),
    "uqac": ("li2025uqac",),
    # sets of questions
    "gsm8k": ("cobbe2021gsm8k",),
    "math": ("hendrycks2021math",),
    "svamp": ("patel2021svamp",),
    "mathqa": ("amini2019mathqa",),
    "bbh": ("suzgun2023bbh",),
    "mmlu": ("hendrycks2021mmlu",),
    # label models
    "majority-vote": ("zhang2021wrench",),
    "snorkel": ("ratner2018snorkel",),
    "dawid-skene": ("dawid1979observer",),
    "hmm": ("lison2020weak",),
    "chmm": ("li2021chmm",),
    "chmm-fixed-emissions": ("li2021chmm",),
    "sparse-chmm": ("li2022sparsechmm",),
    "connet": ("lan2020connet",),
    # confidence of language models
    "self-consistency": ("wang2023selfconsistency",),
    "semantic-entropy": ("kuhn2023semantic", "farquhar2024semantic"),
    "p-true": ("kadavath2022know",),
    "degree-uncertainty": ("lin2024confidence",),
    "token-sar": ("duan2024sar",),
    "stated-confidence": ("tian2023ask",),
    "rauq": ("vazhentsev2025rauq",),
    "attention-score": ("sriramanan2024llmcheck",),
    "csl": ("lin2024csl",),
    "focus": ("zhang2023focus",),
    "claim-conditioned-probability": ("fadeeva2024ccp",),
    "semantic-density": ("qiu2024density",),
    "eigen-score": ("chen2024inside",),
    "semantic-volume": ("li2026volume",),
    "cocoa": ("vashurin2025cocoa",),
    "inverse-entropy": ("song2025inverse",),
    "kernel-language-entropy": ("nikitin2024kernel",),
    "perplexity": ("fomicheva2020quality",),
    "lexical-similarity": ("fomicheva2020quality",),
    "renyi-divergence": ("darrin2023rainproof",),
    "self-certainty": ("kang2025certainty",),
    "boosted-probability": ("dinh2025boosted",),
    "sequence-entropy": ("malinin2021structured",),
    "greedy-negative-log-likelihood": ("aichberger2024rethinking",),
    "pointwise-mutual-information": ("vanderpoel2022mutual",),
    "log-probability-quantile": ("gupta2024cascades",),
    "relative-confidence": ("shrivastava2025relative",),
    "alternatives-confidence": ("bouchard2025uqlm",),
    "minimum-probability": ("bouchard2025uqlm",),
    "mahalanobis": ("lee2018mahalanobis",),
    # fine-tuning of language models
    "ual": ("wang2024ual",),
    "laplace-lora": ("yang2024laplacelora",),
    "blob": ("wang2024blob",),
    "tfb": ("shi2025tfb",),
    "swag-lora": ("onal2024swaglora",),
    "lora-ensemble": ("wang2023loraensembles", "muhlematter2024loraensemble"),
    "bayeslora": ("doyle2025bayeslora",),
    "batch-bald": ("kirsch2019batchbald",),
    "r-tuning": ("zhang2024rtuning",),
    "calibration-tuning": ("kapoor2024taught", "kadavath2022know"),
    "conftuner": ("li2025conftuner",),
    "q-tuning": ("wang2025qtuning",),
    # posteriors
    "deterministic": ("li2024muben",),
    "ensemble": ("lakshminarayanan2017ensembles",),
    "mc-dropout": ("gal2016dropout",),
    "swag": ("maddox2019swag",),
    "bbp": ("blundell2015bbp",),
    "sgld": ("welling2011sgld",),
    "psgld": ("li2016psgld",),
    "sghmc": ("chen2014sghmc",),
    "nuts": ("hoffman2014nuts", "phan2019numpyro"),
    "laplace": ("mackay1992laplace", "daxberger2021laplace"),
    "laplace-network": ("immer2021linearization", "daxberger2021laplace"),
    "cyclical-sgld": ("zhang2020cyclical",),
    "batch-ensemble": ("wen2020batchensemble",),
    "sngp": ("liu2020sngp",),
    "vbll": ("harrison2024vbll",),
    # losses
    "evidential": ("amini2020evidential", "sensoy2018evidential"),
    "focal": ("lin2017focal", "mukhoti2020focal"),
    "gaussian": ("nix1994gaussian",),
    "beta-gaussian": ("seitzer2022beta",),
    # calibration
    "temperature": ("guo2017temperature",),
    "platt": ("platt1999",),
    "isotonic": ("zadrozny2002isotonic",),
    "beta": ("kull2017beta",),
    "deup": ("lahlou2023deup",),
    "sdm": ("schmaltz2026sdm",),
    "ensemble-temperature": ("rahaman2021pooling",),
    "isotonic-quantiles": ("kuleshov2018regression",),
    "variance-scaling": ("laves2020variance",),
    "conformal": ("vovk2005conformal", "lei2018conformal"),
    "cqr": ("romano2019cqr",),
    "lac": ("sadinle2019lac",),
    "aps": ("romano2020aps",),
    "raps": ("angelopoulos2021raps",),
    # metrics
    "nll": ("good1952nll", "gneiting2007scores"),
    "brier": ("brier1950",),
    "grouping-loss": ("perezlebel2023grouping",),
    "second-order-calibration": ("johnson2024pairs",),
    "threshold-weighted-crps": ("gneiting2011threshold",),
    "crps": ("gneiting2007scores", "gneiting2005crps"),
    "interval-score": ("gneiting2007scores",),
    "pinball": ("koenker1978pinball",),
    "ece": ("naeini2015ece", "guo2017temperature"),
    "adaptive-ece": ("nixon2019ace",),
    "smooth-ece": ("blasiok2024smooth",),
    "ence": ("levi2022ence",),
    "regression-calibration": ("kuleshov2018regression",),
    "miscalibration-area": ("tran2020miscalibration",),
    "risk-coverage": ("geifman2017selective",),
    "augrc": ("traub2024augrc",),
    "prr": ("malinin2020prr",),
    "bootstrap": ("davison1997bootstrap", "efron1993bootstrap"),
    "elrea": ("li2025elrea", "li2025dissertation"),
    "less": ("xia2024less",),
    "trak": ("park2023trak",),
    "birch": ("zhang1996birch",),
    "mole": ("wu2024mole",),
    "random-projection": ("achlioptas2003projections",),
}


def citation(*names: str) -> str:
    """BibTeX entries of the methods, losses, calibrators, metrics and systems that were used.

    Names are those of `jaxuq muben --methods` and of the metrics (`"swag"`, `"mc-dropout"`, `"ece"`), of conformal
    scores (`"conformal"`, `"cqr"`, `"aps"`), and of systems (`"muben"`); `_` and capitals are read as `-` and small
    letters. An entry that several names share is given once.

    Args:
        *names: what was used, in the order in which entries should come; none gives jaxuq itself and the dissertation
            that it grew out of.

    Returns:
        The entries, a blank line between two.

    Raises:
        ValueError: a name is unknown; the message gives the nearest known ones, or all.

    Example:
        >>> import jaxuq
        >>> print(jaxuq.citation("sgld"))
        @inproceedings{welling2011sgld,
          author = {Welling, Max and Teh, Yee Whye},
          title = {{Bayesian} Learning via Stochastic Gradient {Langevin} Dynamics},
          booktitle = {International Conference on Machine Learning},
          year = {2011}
        }
        >>> jaxuq.citation("swag", "temperature", "muben").count("@")
        3
    """
    keys = dict.fromkeys(key for name in names or ("jaxuq", "dissertation") for key in _keys(name))
    return "\n\n".join(_entry(key) for key in keys)


def _keys(name: str) -> Iterator[str]:
    """Yield the keys of one name's entries."""
    known = name.lower().replace("_", "-")
    if known not in _SOURCES:
        near = difflib.get_close_matches(known, _SOURCES, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known names are {', '.join(_SOURCES)}"
        raise ValueError(f"there is no citation for {name!r}; {hint}")
    yield from _SOURCES[known]


def _entry(key: str) -> str:
    """Write one entry."""
    kind, author, title, where, year = _ENTRIES[key]
    fields = [f"author = {{{author}}}", f"title = {{{title}}}", *where.split("}, "), f"year = {{{year}}}"]
    lines = ",\n  ".join(field if field.endswith("}") else field + "}" for field in fields if field)
    return f"@{kind}{{{key},\n  {lines}\n}}"
