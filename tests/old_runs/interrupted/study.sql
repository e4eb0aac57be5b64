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
INSERT INTO "studies" VALUES(1,'interrupted');
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
INSERT INTO "study_user_attributes" VALUES(1,1,'writer','"process 11907 of host, 146fef48"');
INSERT INTO "study_user_attributes" VALUES(2,1,'finished','false');
INSERT INTO "study_user_attributes" VALUES(3,1,'stop_reason','null');
INSERT INTO "study_user_attributes" VALUES(4,1,'ended_short','null');
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
INSERT INTO "trial_params" VALUES(1,1,'patch_size',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(2,1,'embed_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(3,1,'depth',9.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(4,1,'head_dim',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(5,1,'mlp_ratio',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(6,1,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(7,1,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(8,1,'reattention_last',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(9,1,'pool_stages',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(10,1,'pool_1_after',10.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(11,1,'pool_2_after',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(12,1,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(13,1,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(14,2,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(15,2,'embed_dim',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(16,2,'depth',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(17,2,'head_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(18,2,'mlp_ratio',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(19,2,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(20,2,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(21,2,'reattention_last',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(22,2,'pool_stages',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(23,2,'pool_1_after',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(24,2,'pool_2_after',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(25,2,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(26,2,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(27,3,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(28,3,'embed_dim',80.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(29,3,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(30,3,'head_dim',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(31,3,'mlp_ratio',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(32,3,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(33,3,'reattention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(34,3,'reattention_last',11.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(35,3,'pool_stages',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(36,3,'pool_1_after',10.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(37,3,'pool_2_after',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(38,3,'pool_kernel_size',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(39,3,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(40,4,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(41,4,'embed_dim',96.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(42,4,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(43,4,'head_dim',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(44,4,'mlp_ratio',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(45,4,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(46,4,'reattention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(47,4,'reattention_last',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(48,4,'pool_stages',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(49,4,'pool_1_after',11.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(50,4,'pool_2_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(51,4,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(52,4,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(53,5,'patch_size',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(54,5,'embed_dim',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(55,5,'depth',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(56,5,'head_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(57,5,'mlp_ratio',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(58,5,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(59,5,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(60,5,'reattention_last',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(61,5,'pool_stages',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(62,5,'pool_1_after',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(63,5,'pool_2_after',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(64,5,'pool_kernel_size',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(65,5,'pool_op',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(66,6,'patch_size',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(67,6,'embed_dim',96.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(68,6,'depth',10.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(69,6,'head_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(70,6,'mlp_ratio',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(71,6,'head',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(72,6,'reattention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(73,6,'reattention_last',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(74,6,'pool_stages',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(75,6,'pool_1_after',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(76,6,'pool_2_after',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(77,6,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(78,6,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
INSERT INTO "trial_params" VALUES(79,7,'patch_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(80,7,'embed_dim',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 16, "high": 128}}');
INSERT INTO "trial_params" VALUES(81,7,'depth',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(82,7,'head_dim',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 8, "high": 16}}');
INSERT INTO "trial_params" VALUES(83,7,'mlp_ratio',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(84,7,'head',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["avg", "token"]}}');
INSERT INTO "trial_params" VALUES(85,7,'reattention',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "all", "suffix"]}}');
INSERT INTO "trial_params" VALUES(86,7,'reattention_last',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 12}}');
INSERT INTO "trial_params" VALUES(87,7,'pool_stages',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 2}}');
INSERT INTO "trial_params" VALUES(88,7,'pool_1_after',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(89,7,'pool_2_after',9.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 11}}');
INSERT INTO "trial_params" VALUES(90,7,'pool_kernel_size',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 3}}');
INSERT INTO "trial_params" VALUES(91,7,'pool_op',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["max", "avg"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'constraints','[888864]');
INSERT INTO "trial_system_attributes" VALUES(2,2,'constraints','[1757536]');
INSERT INTO "trial_system_attributes" VALUES(3,3,'constraints','[709600]');
INSERT INTO "trial_system_attributes" VALUES(4,4,'constraints','[-997376]');
INSERT INTO "trial_system_attributes" VALUES(5,5,'constraints','[2644297]');
INSERT INTO "trial_system_attributes" VALUES(6,6,'constraints','[43582504]');
INSERT INTO "trial_system_attributes" VALUES(7,7,'constraints','[-544160]');
INSERT INTO "trial_system_attributes" VALUES(8,8,'fixed_params','{"patch_size": 2, "embed_dim": 48, "depth": 8, "head_dim": 16, "mlp_ratio": 1, "head": "avg", "reattention": "suffix", "reattention_last": 5, "pool_stages": 1, "pool_1_after": 5, "pool_2_after": 9, "pool_kernel_size": 2, "pool_op": "max"}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'architecture','{"img_size": 8, "patch_size": 1, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 9, "num_heads": 2, "mlp_ratio": 4, "reattention": [0, 1, 2, 3, 4, 5, 6, 7, 8], "pools": [{"after": 7, "kernel_size": 2, "stride": 2, "op": "avg"}], "head": "avg", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'flops','2888864');
INSERT INTO "trial_user_attributes" VALUES(3,1,'params','31380');
INSERT INTO "trial_user_attributes" VALUES(4,1,'seed','2083679832');
INSERT INTO "trial_user_attributes" VALUES(5,1,'state','"over_budget"');
INSERT INTO "trial_user_attributes" VALUES(6,2,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 48, "depth": 8, "num_heads": 3, "mlp_ratio": 4, "reattention": [0, 1, 2, 3, 4, 5, 6, 7], "pools": [], "head": "avg", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(7,2,'flops','3757536');
INSERT INTO "trial_user_attributes" VALUES(8,2,'params','227914');
INSERT INTO "trial_user_attributes" VALUES(9,2,'seed','369571992');
INSERT INTO "trial_user_attributes" VALUES(10,2,'state','"over_budget"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 80, "depth": 2, "num_heads": 10, "mlp_ratio": 4, "reattention": [], "pools": [], "head": "token", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(12,3,'flops','2709600');
INSERT INTO "trial_user_attributes" VALUES(13,3,'params','158490');
INSERT INTO "trial_user_attributes" VALUES(14,3,'seed','1009178997');
INSERT INTO "trial_user_attributes" VALUES(15,3,'state','"over_budget"');
INSERT INTO "trial_user_attributes" VALUES(16,4,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 96, "depth": 1, "num_heads": 12, "mlp_ratio": 1, "reattention": [], "pools": [], "head": "token", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(17,4,'flops','1002624');
INSERT INTO "trial_user_attributes" VALUES(18,4,'params','59626');
INSERT INTO "trial_user_attributes" VALUES(19,4,'seed','3466196061');
INSERT INTO "trial_user_attributes" VALUES(20,4,'curve','[{"epoch": 1, "train_loss": 2.3356947898864746, "val_loss": 2.33276629447937, "accuracy": 0.16796875, "seconds": 0.699901114000113, "images_per_second": 834.2446288176567}, {"epoch": 2, "train_loss": 2.254772186279297, "val_loss": 2.0842249393463135, "accuracy": 0.2578125, "seconds": 0.32990227300001607, "images_per_second": 1888.9979846716203}]');
INSERT INTO "trial_user_attributes" VALUES(21,4,'seconds','68.339');
INSERT INTO "trial_user_attributes" VALUES(22,4,'started','1796070719.9043713');
INSERT INTO "trial_user_attributes" VALUES(23,4,'worker','"host:13350"');
INSERT INTO "trial_user_attributes" VALUES(24,4,'state','"complete"');
INSERT INTO "trial_user_attributes" VALUES(25,5,'architecture','{"img_size": 8, "patch_size": 1, "in_chans": 1, "num_classes": 10, "embed_dim": 48, "depth": 5, "num_heads": 3, "mlp_ratio": 4, "reattention": [0, 1, 2, 3, 4], "pools": [{"after": 0, "kernel_size": 3, "stride": 2, "op": "avg"}, {"after": 1, "kernel_size": 3, "stride": 2, "op": "avg"}], "head": "token", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(26,5,'flops','4644297');
INSERT INTO "trial_user_attributes" VALUES(27,5,'params','147604');
INSERT INTO "trial_user_attributes" VALUES(28,5,'seed','3335713882');
INSERT INTO "trial_user_attributes" VALUES(29,5,'state','"over_budget"');
INSERT INTO "trial_user_attributes" VALUES(30,6,'architecture','{"img_size": 8, "patch_size": 1, "in_chans": 1, "num_classes": 10, "embed_dim": 96, "depth": 10, "num_heads": 6, "mlp_ratio": 1, "reattention": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "pools": [], "head": "token", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(31,6,'flops','45582504');
INSERT INTO "trial_user_attributes" VALUES(32,6,'params','570790');
INSERT INTO "trial_user_attributes" VALUES(33,6,'seed','1002604896');
INSERT INTO "trial_user_attributes" VALUES(34,6,'state','"over_budget"');
INSERT INTO "trial_user_attributes" VALUES(35,7,'architecture','{"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 48, "depth": 8, "num_heads": 3, "mlp_ratio": 1, "reattention": [4, 5, 6, 7], "pools": [{"after": 3, "kernel_size": 2, "stride": 2, "op": "max"}], "head": "avg", "stem": "patch", "reattention_scale": false, "residual_scale": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(36,7,'flops','1455840');
INSERT INTO "trial_user_attributes" VALUES(37,7,'params','116482');
INSERT INTO "trial_user_attributes" VALUES(38,7,'seed','924414274');
INSERT INTO "trial_user_attributes" VALUES(39,7,'state','"interrupted"');
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
INSERT INTO "trial_values" VALUES(1,1,0,0.0,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,2888864.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,0.0,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,3757536.0,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,0.0,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,2709600.0,'FINITE');
INSERT INTO "trial_values" VALUES(7,4,0,0.2578125,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,1,1002624.0,'FINITE');
INSERT INTO "trial_values" VALUES(9,5,0,0.0,'FINITE');
INSERT INTO "trial_values" VALUES(10,5,1,4644297.0,'FINITE');
INSERT INTO "trial_values" VALUES(11,6,0,0.0,'FINITE');
INSERT INTO "trial_values" VALUES(12,6,1,45582504.0,'FINITE');
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
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-30 20:31:59.896811','2026-11-30 20:31:59.899038');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-30 20:31:59.899606','2026-11-30 20:31:59.900971');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-30 20:31:59.901294','2026-11-30 20:31:59.902804');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-30 20:31:59.903118','2026-11-30 20:33:08.243547');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-30 20:33:08.284403','2026-11-30 20:33:08.287011');
INSERT INTO "trials" VALUES(6,5,1,'COMPLETE','2026-11-30 20:33:08.287522','2026-11-30 20:33:08.289605');
INSERT INTO "trials" VALUES(7,6,1,'FAIL','2026-11-30 20:33:08.290004','2026-11-30 20:33:10.295456');
INSERT INTO "trials" VALUES(8,7,1,'WAITING',NULL,NULL);
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
