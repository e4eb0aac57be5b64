BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'r1');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy", "flops"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'writer','"process 8035 of host, ad1ab8e1"');
INSERT INTO "study_user_attributes" VALUES(2,1,'finished','true');
INSERT INTO "study_user_attributes" VALUES(3,1,'stop_reason','null');
INSERT INTO "study_user_attributes" VALUES(4,1,'ended_short','null');
INSERT INTO "study_user_attributes" VALUES(5,1,'test_accuracy:4','0.48746518105849584');
INSERT INTO "study_user_attributes" VALUES(6,1,'test_accuracy:2','0.9220055710306406');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(2,1,'embed_dim',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(3,1,'depth',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(4,1,'head_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(5,1,'mlp_ratio',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(6,1,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(7,1,'reattention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(8,1,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(9,1,'pool_stages',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(10,1,'pool_1_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(11,1,'pool_2_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(12,1,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(13,1,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(14,2,'patch_size',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(15,2,'embed_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(16,2,'depth',10.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(17,2,'head_dim',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(18,2,'mlp_ratio',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(19,2,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(20,2,'reattention',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(21,2,'reattention_last',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(22,2,'pool_stages',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(23,2,'pool_1_after',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(24,2,'pool_2_after',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(25,2,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(26,2,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(27,3,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(28,3,'embed_dim',32.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(29,3,'depth',7.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(30,3,'head_dim',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(31,3,'mlp_ratio',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(32,3,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(33,3,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(34,3,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(35,3,'pool_stages',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(36,3,'pool_1_after',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(37,3,'pool_2_after',9.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(38,3,'pool_kernel_size',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(39,3,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(40,4,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(41,4,'embed_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(42,4,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(43,4,'head_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(44,4,'mlp_ratio',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(45,4,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(46,4,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(47,4,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(48,4,'pool_stages',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(49,4,'pool_1_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(50,4,'pool_2_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(51,4,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(52,4,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(53,5,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(54,5,'embed_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(55,5,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(56,5,'head_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(57,5,'mlp_ratio',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(58,5,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(59,5,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(60,5,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(61,5,'pool_stages',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(62,5,'pool_1_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(63,5,'pool_2_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(64,5,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(65,5,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(66,6,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(67,6,'embed_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(68,6,'depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(69,6,'head_dim',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(70,6,'mlp_ratio',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(71,6,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(72,6,'reattention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(73,6,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(74,6,'pool_stages',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(75,6,'pool_1_after',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(76,6,'pool_2_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(77,6,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(78,6,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"patch_size": 2, "embed_dim": 48, "depth": 4, "head_dim": 16, "mlp_ratio": 4, "head": "avg", "reattention": "none", "reattention_last": 1, "pool_stages": 0, "pool_1_after": 0, "pool_2_after": 0, "pool_kernel_size": 2, "pool_op": "max"}');
INSERT INTO "trial_system_attributes" VALUES(2,1,'constraints','[-128672]');
INSERT INTO "trial_system_attributes" VALUES(3,2,'constraints','[-947168]');
INSERT INTO "trial_system_attributes" VALUES(4,3,'constraints','[-1499552]');
INSERT INTO "trial_system_attributes" VALUES(5,4,'constraints','[-1949408]');
INSERT INTO "trial_system_attributes" VALUES(6,5,'constraints','[-1957600]');
INSERT INTO "trial_system_attributes" VALUES(7,6,'constraints','[-1892736]');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'baseline','"plain_d4_w48_p2"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 48, "depth": 4, "num_heads": 3, "mlp_ratio": 4, "reattention": [], "pools": [], "head": "avg", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(3,1,'flops','1871328');
INSERT INTO "trial_user_attributes" VALUES(4,1,'params','114682');
INSERT INTO "trial_user_attributes" VALUES(5,1,'seed','16823399');
INSERT INTO "trial_user_attributes" VALUES(6,1,'curve','[{"epoch": 1, "train_loss": 2.3003690383013558, "val_loss": 2.2789423200819225, "accuracy": 0.1597222222222222, "seconds": 1.7658486469999843, "images_per_second": 654.3661531454123}, {"epoch": 2, "train_loss": 2.218958013197955, "val_loss": 2.0867220560709634, "accuracy": 0.2048611111111111, "seconds": 1.4125416440001572, "images_per_second": 834.8309584325664}, {"epoch": 3, "train_loss": 2.0137737498563877, "val_loss": 1.8406278822157118, "accuracy": 0.3229166666666667, "seconds": 1.1300111359996663, "images_per_second": 1049.0475146096312}]');
INSERT INTO "trial_user_attributes" VALUES(7,1,'seconds','37.153');
INSERT INTO "trial_user_attributes" VALUES(8,1,'started','1795808075.4390576');
INSERT INTO "trial_user_attributes" VALUES(9,1,'worker','"host:10155"');
INSERT INTO "trial_user_attributes" VALUES(10,1,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(11,2,'architecture','{"img_size": 8, "patch_size": 1, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 10, "num_heads": 2, "mlp_ratio": 3, "reattention": [7, 8, 9], "pools": [{"after": 1, "kernel_size": 2, "stride": 2, "op": "max"}, {"after": 2, "kernel_size": 2, "stride": 2, "op": "max"}], "head": "avg", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(12,2,'flops','1052832');
INSERT INTO "trial_user_attributes" VALUES(13,2,'params','29576');
INSERT INTO "trial_user_attributes" VALUES(14,2,'seed','3796490668');
INSERT INTO "trial_user_attributes" VALUES(15,2,'curve','[{"epoch": 1, "train_loss": 2.3041101343491497, "val_loss": 2.274685329861111, "accuracy": 0.28125, "seconds": 2.4886960900003032, "images_per_second": 566.2716010905516}, {"epoch": 2, "train_loss": 2.0768529106588924, "val_loss": 1.7322103712293837, "accuracy": 0.4861111111111111, "seconds": 2.578532300999541, "images_per_second": 515.2572502331697}, {"epoch": 3, "train_loss": 1.7019159653607536, "val_loss": 1.5260951783921983, "accuracy": 0.5277777777777778, "seconds": 2.5735787430003256, "images_per_second": 516.5497693965073}]');
INSERT INTO "trial_user_attributes" VALUES(16,2,'seconds','7.734');
INSERT INTO "trial_user_attributes" VALUES(17,2,'started','1795808112.8631377');
INSERT INTO "trial_user_attributes" VALUES(18,2,'worker','"host:10155"');
INSERT INTO "trial_user_attributes" VALUES(19,2,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(20,3,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 32, "depth": 7, "num_heads": 4, "mlp_ratio": 1, "reattention": [0, 1, 2, 3, 4, 5, 6], "pools": [{"after": 1, "kernel_size": 3, "stride": 2, "op": "avg"}, {"after": 5, "kernel_size": 3, "stride": 2, "op": "avg"}], "head": "token", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(21,3,'flops','500448');
INSERT INTO "trial_user_attributes" VALUES(22,3,'params','46958');
INSERT INTO "trial_user_attributes" VALUES(23,3,'seed','3226123765');
INSERT INTO "trial_user_attributes" VALUES(24,3,'curve','[{"epoch": 1, "train_loss": 2.1758871639476105, "val_loss": 1.845059076944987, "accuracy": 0.5798611111111112, "seconds": 1.3685543289993802, "images_per_second": 981.1882078632981}, {"epoch": 2, "train_loss": 1.5500473695642807, "val_loss": 0.9979585011800131, "accuracy": 0.8784722222222222, "seconds": 1.2674544390001756, "images_per_second": 1040.3706796357778}, {"epoch": 3, "train_loss": 1.0040267495548023, "val_loss": 0.6957177586025662, "accuracy": 0.9131944444444444, "seconds": 1.2975491260003764, "images_per_second": 1031.3499031940007}]');
INSERT INTO "trial_user_attributes" VALUES(25,3,'seconds','4.016');
INSERT INTO "trial_user_attributes" VALUES(26,3,'started','1795808120.7682455');
INSERT INTO "trial_user_attributes" VALUES(27,3,'worker','"host:10155"');
INSERT INTO "trial_user_attributes" VALUES(28,3,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(29,4,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 1, "num_heads": 1, "mlp_ratio": 3, "reattention": [0], "pools": [], "head": "avg", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(30,4,'flops','50592');
INSERT INTO "trial_user_attributes" VALUES(31,4,'params','3294');
INSERT INTO "trial_user_attributes" VALUES(32,4,'seed','727168946');
INSERT INTO "trial_user_attributes" VALUES(33,4,'curve','[{"epoch": 1, "train_loss": 2.287660710951861, "val_loss": 2.2578186459011502, "accuracy": 0.14930555555555555, "seconds": 0.25712623599974904, "images_per_second": 5335.638904759734}, {"epoch": 2, "train_loss": 2.124662062701057, "val_loss": 1.9401817321777344, "accuracy": 0.19791666666666666, "seconds": 0.22574669000005088, "images_per_second": 5762.841039951045}, {"epoch": 3, "train_loss": 1.8087251326617073, "val_loss": 1.5961956448025174, "accuracy": 0.4340277777777778, "seconds": 0.2222059210007501, "images_per_second": 5915.228319263822}]');
INSERT INTO "trial_user_attributes" VALUES(34,4,'seconds','0.75');
INSERT INTO "trial_user_attributes" VALUES(35,4,'started','1795808124.9281666');
INSERT INTO "trial_user_attributes" VALUES(36,4,'worker','"host:10155"');
INSERT INTO "trial_user_attributes" VALUES(37,4,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(38,5,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 1, "num_heads": 1, "mlp_ratio": 2, "reattention": [0], "pools": [{"after": 0, "kernel_size": 2, "stride": 2, "op": "max"}], "head": "avg", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(39,5,'flops','42400');
INSERT INTO "trial_user_attributes" VALUES(40,5,'params','2894');
INSERT INTO "trial_user_attributes" VALUES(41,5,'seed','278233753');
INSERT INTO "trial_user_attributes" VALUES(42,5,'curve','[{"epoch": 1, "train_loss": 2.287829006419462, "val_loss": 2.245366414388021, "accuracy": 0.13194444444444445, "seconds": 0.27092418699976406, "images_per_second": 4747.918331282133}, {"epoch": 2, "train_loss": 2.0658607482910156, "val_loss": 1.7569118075900607, "accuracy": 0.3993055555555556, "seconds": 0.24818856799993227, "images_per_second": 5118.158522700763}, {"epoch": 3, "train_loss": 1.720924601835363, "val_loss": 1.5014643139309354, "accuracy": 0.5208333333333334, "seconds": 0.23761941100019612, "images_per_second": 5444.383463687813}]');
INSERT INTO "trial_user_attributes" VALUES(43,5,'seconds','0.807');
INSERT INTO "trial_user_attributes" VALUES(44,5,'started','1795808126.0354345');
INSERT INTO "trial_user_attributes" VALUES(45,5,'worker','"host:10155"');
INSERT INTO "trial_user_attributes" VALUES(46,5,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(47,6,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 3, "num_heads": 2, "mlp_ratio": 1, "reattention": [], "pools": [{"after": 2, "kernel_size": 2, "stride": 2, "op": "max"}], "head": "token", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(48,6,'flops','107264');
INSERT INTO "trial_user_attributes" VALUES(49,6,'params','5802');
INSERT INTO "trial_user_attributes" VALUES(50,6,'seed','1608096988');
INSERT INTO "trial_user_attributes" VALUES(51,6,'curve','[{"epoch": 1, "train_loss": 2.308102102840648, "val_loss": 2.3017315334743924, "accuracy": 0.10069444444444445, "seconds": 0.8419139600000562, "images_per_second": 1354.2719763273506}, {"epoch": 2, "train_loss": 2.2829518037683822, "val_loss": 2.211979760064019, "accuracy": 0.1701388888888889, "seconds": 0.746371661000012, "images_per_second": 1547.8826676602332}, {"epoch": 3, "train_loss": 2.179137286017923, "val_loss": 2.1350294748942056, "accuracy": 0.1597222222222222, "seconds": 0.844318607999412, "images_per_second": 1391.6085584398443}]');
INSERT INTO "trial_user_attributes" VALUES(52,6,'seconds','2.532');
INSERT INTO "trial_user_attributes" VALUES(53,6,'started','1795808126.9808998');
INSERT INTO "trial_user_attributes" VALUES(54,6,'worker','"host:10155"');
INSERT INTO "trial_user_attributes" VALUES(55,6,'state','"complete"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,3.2291666666666668517e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,1871328.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,5.27777777777777790113e-01,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,1052832.0,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,9.13194444444444419772e-01,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,500448.0,'FINITE');
INSERT INTO "trial_values" VALUES(7,4,0,4.34027777777777790113e-01,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,1,50592.0,'FINITE');
INSERT INTO "trial_values" VALUES(9,5,0,5.2083333333333337034e-01,'FINITE');
INSERT INTO "trial_values" VALUES(10,5,1,42400.0,'FINITE');
INSERT INTO "trial_values" VALUES(11,6,0,1.59722222222222209886e-01,'FINITE');
INSERT INTO "trial_values" VALUES(12,6,1,107264.0,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-27 19:34:35.438219','2026-11-27 19:35:12.591848');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-27 19:35:12.608620','2026-11-27 19:35:20.597553');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-27 19:35:20.613747','2026-11-27 19:35:24.784517');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-27 19:35:24.798496','2026-11-27 19:35:25.678676');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-27 19:35:25.690009','2026-11-27 19:35:26.842471');
INSERT INTO "trials" VALUES(6,5,1,'COMPLETE','2026-11-27 19:35:26.853428','2026-11-27 19:35:29.512754');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
